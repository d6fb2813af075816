"""How the engine's events become a receipt or a refusal."""

import pytest

from engine import rejects
from engine.events import CommandRejected, Event, OrdersCancelled, RequestRepeated
from gateway.errors import ApiError, OutcomeUnknown, Refused
from gateway.outcomes import Outcome, Receipt, receipt_of


def outcome(*events: Event, resent: bool = False) -> Outcome:
    return Outcome(9, 0, list(events), resent)


def refusal(told: Outcome) -> ApiError:
    with pytest.raises(ApiError) as caught:
        receipt_of(told)
    return caught.value


def test_the_first_time_has_its_own_sequence() -> None:
    assert receipt_of(outcome(OrdersCancelled(1, 0, 0)), first_time_status=201) == Receipt(9, False, 201)


def test_a_repeat_has_the_first_receipt() -> None:
    assert receipt_of(outcome(RequestRepeated(4, 0)), first_time_status=201) == Receipt(4, True, 200)


def test_a_repeat_that_this_gateway_caused_is_the_clients_first_time() -> None:
    assert receipt_of(outcome(RequestRepeated(4, 0), resent=True), first_time_status=201) == Receipt(4, True, 201)


def test_a_refusal_is_told_with_its_receipt() -> None:
    error = refusal(outcome(CommandRejected(rejects.ID_CONFLICT, 4)))
    assert isinstance(error, Refused)
    assert (error.code, error.sequence, error.original_sequence, error.repeated) == ("ID_CONFLICT", 9, 4, False)


def test_a_repeated_refusal_has_the_first_receipt() -> None:
    error = refusal(outcome(RequestRepeated(4, rejects.NO_FUNDS)))
    assert isinstance(error, Refused)
    assert (error.code, error.sequence, error.repeated) == ("NO_FUNDS", 4, True)


def test_an_expired_signature_tells_nothing_of_an_earlier_copy() -> None:
    expired = CommandRejected(rejects.REQUEST_EXPIRED, 0)
    assert isinstance(refusal(outcome(expired, resent=True)), OutcomeUnknown)
    assert refusal(outcome(expired)).code == "REQUEST_EXPIRED"
