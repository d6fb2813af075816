"""Where in the log a fold is: which event of which command, and when."""

from __future__ import annotations


class EventsDisagree(Exception):
    """The events contradict themselves or the rows: this log was not written by a sound engine, or the rows are not
    of this log."""


class Moment:
    """The event that is being folded: one object that all folds of a group look at."""

    __slots__ = ("event_index", "group_id", "sequence", "timestamp_ns")

    def __init__(self, group_id: int) -> None:
        self.group_id = group_id
        self.sequence = 0
        self.event_index = 0
        self.timestamp_ns = 0

    def __str__(self) -> str:
        return f"sequence {self.sequence}, event {self.event_index}"
