"""The stateless HTTP edge: authenticates, parses, forwards to the group's leader, renders what happened.

A gateway keeps nothing that matters: everything it knows it can ask for again, so any number of them may
run and any of them may die.
"""
