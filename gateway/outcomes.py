"""What became of one command, and how a client is told: the receipt, or why there is none."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeVar

from engine import rejects
from engine.events import CommandRejected, Event, RequestRepeated
from gateway.errors import ApiError, OutcomeUnknown, Refused

# Refusals that are not remembered. The signature may have grown old between the first copy of a command and this one;
# and the engine takes the same id again once the account has requests left, another copy on its way included. All
# other refusals were compared with the receipts of earlier copies, and are receipts for later ones.
_SAYS_NOTHING_OF_OTHER_COPIES: Final = frozenset((rejects.REQUEST_EXPIRED, rejects.RATE_LIMIT))

_Told = TypeVar("_Told", bound=Event)


class Outcome(NamedTuple):
    """A command that is in the log. ``resent``: an earlier copy of it may have got there before (or still may)."""

    sequence: int
    timestamp_ns: int
    events: list[Event]
    resent: bool

    def told(self, kind: type[_Told]) -> _Told | None:
        """The last event of this kind. What else happened with it may have been told before or behind it."""
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)


class Receipt(NamedTuple):
    """``sequence`` is the place in the log where the request was executed, now or the first time."""

    sequence: int
    repeated: bool
    status: int


def refusal_of(outcome: Outcome) -> ApiError | None:
    """The error that a client gets for a refused command; None if it was accepted."""
    first = outcome.events[0]
    if isinstance(first, CommandRejected):
        if first.reason in _SAYS_NOTHING_OF_OTHER_COPIES and outcome.resent:
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
