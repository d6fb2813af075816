"""The exception that stops a replica for good."""


class Halt(Exception):
    """Going on would risk money: the process must end, and a person must look. Never caught, never retried."""
