"""What became of one command, and how a client is told: the receipt, or why there is none."""

from __future__ import annotations

from typing import NamedTuple

from engine import rejects
from engine.events import CommandRejected, Event, RequestRepeated
from gateway.errors import ApiError, OutcomeUnknown, Refused


class Outcome(NamedTuple):
    """A command that is in the log. ``resent``: an earlier copy of it may have got there before (or still may)."""

    sequence: int
    timestamp_ns: int
    events: list[Event]
    resent: bool


class Receipt(NamedTuple):
    """``sequence`` is the place in the log where the request was executed, now or the first time."""

    sequence: int
    repeated: bool
    status: int


def refusal_of(outcome: Outcome) -> ApiError | None:
    """The error that a client gets for a refused command; None if it was accepted."""
    first = outcome.events[0]
    if isinstance(first, CommandRejected):
        # The signature may have grown old between the first copy and this one, so this refusal does
        # not tell what became of the first. All other refusals were compared with the receipts of earlier copies.
        if first.reason == rejects.REQUEST_EXPIRED and outcome.resent:
            return OutcomeUnknown()
        return Refused(first.reason, sequence=outcome.sequence, original_sequence=first.original_sequence)
    if isinstance(first, RequestRepeated) and first.reason:
        return Refused(first.reason, sequence=first.original_sequence, repeated=True)
    return None


def receipt_of(outcome: Outcome, *, first_time_status: int = 200) -> Receipt:
    """The receipt of an accepted command. Raises the refusal of one that was not.

    ``repeated`` is what the engine said. The status tells the client whether it repeated itself: a repetition that
    this gateway caused by sending the command again is still the client's first time.
    """
    refusal = refusal_of(outcome)
    if refusal is not None:
        raise refusal
    first = outcome.events[0]
    if not isinstance(first, RequestRepeated):
        return Receipt(outcome.sequence, repeated=False, status=first_time_status)
    return Receipt(first.original_sequence, repeated=True, status=first_time_status if outcome.resent else 200)
