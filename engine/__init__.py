"""The deterministic state machine: commands in, events out, integers only.

Nothing here reads a clock, a file, a socket, the environment or chance. The same
log gives the same bytes on every replica and on an auditor's machine.
"""
