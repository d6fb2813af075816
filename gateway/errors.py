"""What can go wrong with a request, as clients see it.

    ApiError                 code, sentence, HTTP status, and whether it is definite
    |-- BadRequest           400  the request cannot be read: BAD_JSON, MISSING_FIELD, BAD_DECIMAL, BAD_TIME, ...
    |-- Unauthenticated      401  MISSING_SIGNATURE, UNKNOWN_KEY, BAD_SIGNATURE, REQUEST_EXPIRED
    |-- Forbidden            403  NOT_ALLOWED
    |-- NotFound             404  NO_SUCH_ROUTE, UNKNOWN_MARKET, UNKNOWN_ACCOUNT, UNKNOWN_GROUP, UNKNOWN_SEQUENCE, ...
    |-- ListedElsewhere      409  NAME_TAKEN: another market group lists this market
    |-- MethodNotAllowed     405
    |-- RequestTimeout       408  the request did not arrive in time
    |-- BodyTooLarge         413
    |-- HeadTooLarge         431
    |-- ReceiptTooLarge      422  RECEIPT_TOO_LARGE
    |-- Refused                   the state machine said no: the codes of engine.rejects; an outcome in the log
    |-- Internal             500  a fault of ours
    |-- NoLeader             503  nobody could take the command; it certainly did not happen
    |-- NotArchived          503  NOT_ARCHIVED: no replica that could be asked has this part of the history
    |-- TooOld               503  TOO_OLD: no replica has come as far as a read asked for
    |-- QueryUnavailable     503  QUERY_UNAVAILABLE: the query server, which has the history, does not answer
    |-- Overloaded           503  too many requests wait already; it certainly did not happen
    `-- OutcomeUnknown       504  sent, but no answer: only a retry with the same id finds out

``definite`` answers the one question that matters after an error: did the command certainly not happen?
Where it is false, retry with the same id and the same content; the exchange executes it at most once.
"""

from __future__ import annotations

from typing import Any, Final

from engine import rejects

_REFUSAL_STATUS: Final = {
    rejects.MALFORMED: 400,
    rejects.REQUEST_EXPIRED: 401,
    rejects.NOT_ALLOWED: 403,
    rejects.ACCOUNT_FROZEN: 403,
    rejects.UNKNOWN_ACCOUNT: 404,
    rejects.UNKNOWN_ASSET: 404,
    rejects.UNKNOWN_MARKET: 404,
    rejects.UNKNOWN_ORDER: 404,
    rejects.UNKNOWN_WITHDRAWAL: 404,
    rejects.UNKNOWN_TRANSFER: 404,
    rejects.UNKNOWN_SALE: 404,
    rejects.ID_CONFLICT: 409,
    rejects.FENCED: 409,
    rejects.NAME_TAKEN: 409,
    # What is asked fits the thing, but not the state that it is in.
    rejects.ORDER_CLOSED: 409,
    rejects.MARKET_STATE: 409,
    rejects.NO_CANCEL: 409,
    rejects.WRONG_STATE: 409,
    rejects.SALE_STATE: 409,
    rejects.RATE_LIMIT: 429,
}
_OTHER_REFUSAL_STATUS: Final = 422
_TEXT_SHOWN_LENGTH_MAX: Final = 40


class ApiError(Exception):
    """An answer that is not a success. ``sequence`` is the receipt in the log, or None where no log was involved."""

    status = 500
    definite = True
    sequence: int | None = None

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    def body(self) -> dict[str, Any]:
        error = {"code": self.code, "message": self.message, "definite": self.definite}
        return {"error": error, "sequence": self.sequence}


class BadRequest(ApiError):
    status = 400


class Unauthenticated(ApiError):
    status = 401


class Forbidden(ApiError):
    status = 403

    def __init__(self) -> None:
        super().__init__("NOT_ALLOWED", "Only an operator may do this.")


class NotFound(ApiError):
    """``sequence`` is that of the answer which did not have the thing, where somebody was asked."""

    status = 404

    def __init__(self, code: str, message: str, *, sequence: int | None = None) -> None:
        super().__init__(code, message)
        self.sequence = sequence


class UnknownGroup(NotFound):
    def __init__(self, name: str) -> None:
        super().__init__("UNKNOWN_GROUP", f"There is no market group {shown(name)}.")


class ListedElsewhere(ApiError):
    status = 409

    def __init__(self, market: str, group: str) -> None:
        super().__init__("NAME_TAKEN", f"The market {shown(market)} is listed in group '{group}' already.")


class MethodNotAllowed(ApiError):
    status = 405

    def __init__(self) -> None:
        super().__init__(
            "METHOD_NOT_ALLOWED", "This route does not know this method; the Allow header lists those it knows."
        )


class RequestTimeout(ApiError):
    status = 408

    def __init__(self) -> None:
        super().__init__("REQUEST_TIMEOUT", "The request did not arrive completely in time.")


class BodyTooLarge(ApiError):
    status = 413

    def __init__(self, limit_bytes: int) -> None:
        super().__init__("BODY_TOO_LARGE", f"The body is larger than {limit_bytes} bytes.")


class HeadTooLarge(ApiError):
    status = 431

    def __init__(self, limit_bytes: int) -> None:
        super().__init__("HEAD_TOO_LARGE", f"The request's first line and headers are larger than {limit_bytes} bytes.")


class Refused(ApiError):
    """A refusal that stands in the log. ``original_sequence`` quotes the receipt of an id's first use, or is 0."""

    def __init__(self, reason: int, *, sequence: int, original_sequence: int = 0, repeated: bool = False) -> None:
        super().__init__(rejects.reason_code(reason), rejects.reason_sentence(reason))
        self.status = _REFUSAL_STATUS.get(reason, _OTHER_REFUSAL_STATUS)
        self.sequence = sequence
        self.original_sequence = original_sequence
        self.repeated = repeated

    def body(self) -> dict[str, Any]:
        body = super().body()
        body["repeated"] = self.repeated
        if self.original_sequence:
            body["original_sequence"] = self.original_sequence
        return body


class Internal(ApiError):
    """``definite`` is false if a command had left already when our fault showed."""

    def __init__(self, *, definite: bool) -> None:
        ending = "" if definite else " Whether the command happened is unknown: retry with the same id."
        super().__init__("INTERNAL", "The gateway failed; the fault is logged." + ending)
        self.definite = definite


class NoLeader(ApiError):
    status = 503

    def __init__(self) -> None:
        super().__init__("NO_LEADER", "No replica leads at the moment. Nothing happened; try again.")


class TooOld(ApiError):
    """``sequence`` is how far the replica had come that was asked last."""

    status = 503

    def __init__(self, min_sequence: int, wait_ms: int, sequence: int) -> None:
        super().__init__(
            "TOO_OLD",
            f"No replica that was asked has applied sequence {min_sequence} within {wait_ms} ms. "
            "Ask again, or without min_sequence.",
        )
        self.sequence = sequence


class ReceiptTooLarge(ApiError):
    status = 422

    def __init__(self, sequence: int) -> None:
        super().__init__(
            "RECEIPT_TOO_LARGE",
            f"The entry with sequence {sequence} is too large for a receipt; `tally replay` reads it from the archive.",
        )


class NotArchived(ApiError):
    status = 503

    def __init__(self, sequence: int) -> None:
        super().__init__(
            "NOT_ARCHIVED",
            f"No replica that could be asked has sequence {sequence} in its archive. Try again when all replicas run.",
        )


class QueryUnavailable(ApiError):
    status = 503

    def __init__(self, message: str) -> None:
        super().__init__("QUERY_UNAVAILABLE", message)


class Overloaded(ApiError):
    status = 503

    def __init__(self) -> None:
        super().__init__("OVERLOADED", "Too many requests are waiting. Nothing happened; try again later.")


class OutcomeUnknown(ApiError):
    status = 504
    definite = False

    def __init__(self) -> None:
        super().__init__(
            "OUTCOME_UNKNOWN",
            "The exchange did not answer in time, so the command may or may not have happened. "
            "Retry with the same id and the same content: it is executed at most once.",
        )


def shown(text: object) -> str:
    """A client's text made fit for a message: quoted, escaped, cut."""
    quoted = ascii(text)
    return quoted if len(quoted) <= _TEXT_SHOWN_LENGTH_MAX else quoted[:_TEXT_SHOWN_LENGTH_MAX] + "..."
