"""How the engine's events become a receipt or a refusal."""

import pytest

from engine import rejects
from engine.events import CommandRejected, Event, IndicativePriceChanged, OrdersCancelled, RequestRepeated
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


@pytest.mark.parametrize("reason", [rejects.REQUEST_EXPIRED, rejects.RATE_LIMIT])
def test_a_refusal_that_is_not_remembered_tells_nothing_of_another_copy(reason: int) -> None:
    refused = CommandRejected(reason, 0)
    assert isinstance(refusal(outcome(refused, resent=True)), OutcomeUnknown)
    assert refusal(outcome(refused)).code == rejects.reason_code(reason)


def test_what_is_told_is_found_wherever_it_stands() -> None:
    told = outcome(OrdersCancelled(1, 0, 2), OrdersCancelled(1, 0, 3), IndicativePriceChanged(1, 0, 0, 0))
    assert told.told(OrdersCancelled) == OrdersCancelled(1, 0, 3)
    assert told.told(CommandRejected) is None
