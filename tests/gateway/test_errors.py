"""The errors that clients see: code, status, definite."""

import pytest

from engine import rejects
from gateway.errors import (
    ApiError,
    BadRequest,
    Internal,
    NoLeader,
    OutcomeUnknown,
    Overloaded,
    Refused,
    shown,
)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (rejects.MALFORMED, 400),
        (rejects.REQUEST_EXPIRED, 401),
        (rejects.NOT_ALLOWED, 403),
        (rejects.UNKNOWN_ACCOUNT, 404),
        (rejects.UNKNOWN_ORDER, 404),
        (rejects.ID_CONFLICT, 409),
        (rejects.NAME_TAKEN, 409),
        (rejects.ORDER_CLOSED, 409),
        (rejects.ACCOUNT_FROZEN, 403),
        (rejects.UNKNOWN_WITHDRAWAL, 404),
        (rejects.UNKNOWN_TRANSFER, 404),
        (rejects.UNKNOWN_SALE, 404),
        (rejects.FENCED, 409),
        (rejects.MARKET_STATE, 409),
        (rejects.NO_CANCEL, 409),
        (rejects.WRONG_STATE, 409),
        (rejects.SALE_STATE, 409),
        (rejects.RATE_LIMIT, 429),
        (rejects.STOP_WOULD_TRIGGER, 422),
        (rejects.MARKET_RULES, 422),
        (rejects.TICK, 422),
        (rejects.NO_FUNDS, 422),
    ],
)
def test_a_refusal_has_the_code_of_the_engine_and_a_fitting_status(reason: int, status: int) -> None:
    refused = Refused(reason, sequence=7)
    assert (refused.status, refused.code) == (status, rejects.reason_code(reason))
    assert refused.body()["sequence"] == 7


def test_every_reason_of_the_engine_renders() -> None:
    for reason in range(1, len(rejects.REASONS)):
        error = Refused(reason, sequence=1).body()["error"]
        assert error["definite"] is True
        assert error["message"].endswith(".")


def test_a_conflict_quotes_the_standing_receipt() -> None:
    assert Refused(rejects.ID_CONFLICT, sequence=9, original_sequence=3).body()["original_sequence"] == 3
    assert "original_sequence" not in Refused(rejects.TICK, sequence=9).body()


@pytest.mark.parametrize(
    ("error", "status", "definite"),
    [
        (BadRequest("BAD_JSON", "No."), 400, True),
        (NoLeader(), 503, True),
        (Overloaded(), 503, True),
        (OutcomeUnknown(), 504, False),
        (Internal(definite=True), 500, True),
        (Internal(definite=False), 500, False),
    ],
)
def test_an_error_says_whether_it_is_definite(error: ApiError, status: int, definite: bool) -> None:
    assert (error.status, error.body()["error"]["definite"]) == (status, definite)


def test_a_text_in_a_message_is_escaped_and_cut() -> None:
    assert shown("a\n\x00\u2603") == "'a\\n\\x00\\u2603'"
    assert len(shown("x" * 1_000)) < 50
