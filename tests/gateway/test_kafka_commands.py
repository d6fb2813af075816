from typing import Any

import pytest

from gateway.auth import Caller
from gateway.errors import ApiError, Unauthenticated
from gateway.kafka_commands import Answer, read_command, refusal_headers, vouched_headers

NOW_NS = 1_700_000_000_000 * 1_000_000
AGE_S_MAX = 300
BODY = b'{"market": "GLD-EUR"}'
CALLER = Caller("ana-1", 7, 0, b"secret")


def headers(
    path: bytes = b"/v1/orders", method: bytes = b"POST", age_s: int = 0, body: bytes = BODY
) -> list[tuple[str, bytes]]:
    timestamp = b"%d" % (NOW_NS // 1_000_000 - age_s * 1_000)
    return [
        ("X-Tally-Method", method),
        ("X-Tally-Path", path),
        ("X-Tally-Key", b"ana-1"),
        ("X-Tally-Timestamp", timestamp),
        ("X-Tally-Signature", CALLER.sign(timestamp, method, path, body).encode()),
    ]


def refusal(those: list[tuple[str, bytes]], value: bytes | None = BODY) -> str:
    with pytest.raises(ApiError) as caught:
        read_command(those, value, NOW_NS, AGE_S_MAX)
    return caught.value.code


def test_a_message_is_a_request_that_is_submitted_with_a_signature_of_now() -> None:
    command = read_command(headers(b"/v1/orders?x=a%20b", age_s=200), BODY, NOW_NS, AGE_S_MAX)
    vouched = dict(vouched_headers(command, CALLER, NOW_NS))
    assert vouched[b"x-tally-timestamp"] == b"1700000000000"
    assert vouched[b"x-tally-signature"] == CALLER.sign(b"1700000000000", b"POST", b"/v1/orders?x=a%20b", BODY).encode()
    scope = command.scope(list(vouched.items()))
    assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/v1/orders", b"x=a%20b")


def test_the_names_of_headers_may_be_written_in_any_case() -> None:
    lower = [(name.lower(), value) for name, value in headers()]
    assert read_command(lower, BODY, NOW_NS, AGE_S_MAX).target == b"/v1/orders"


def test_a_command_without_a_body_may_have_no_value() -> None:
    those = headers(b"/v1/orders/7?request_id=r", b"DELETE", body=b"")
    command = read_command(those, None, NOW_NS, AGE_S_MAX)
    assert command.body == b""
    vouched_headers(command, CALLER, NOW_NS)


def test_a_signature_counts_only_for_what_was_signed() -> None:
    command = read_command(headers(), BODY + b" ", NOW_NS, AGE_S_MAX)
    with pytest.raises(Unauthenticated, match="BAD_SIGNATURE"):
        vouched_headers(command, CALLER, NOW_NS)


@pytest.mark.parametrize("age_s", [AGE_S_MAX, -AGE_S_MAX])
def test_a_command_is_taken_up_to_its_age(age_s: int) -> None:
    read_command(headers(age_s=age_s), BODY, NOW_NS, AGE_S_MAX)


@pytest.mark.parametrize("age_s", [AGE_S_MAX + 1, 3_600, -AGE_S_MAX - 1])
def test_one_that_is_older_is_expired_and_nobody_says_that_it_never_happened(age_s: int) -> None:
    with pytest.raises(ApiError, match="signed more than 300 seconds away") as caught:
        read_command(headers(age_s=age_s), BODY, NOW_NS, AGE_S_MAX)
    assert caught.value.code == "REQUEST_EXPIRED"
    assert not caught.value.definite, "an earlier delivery may have been executed"


@pytest.mark.parametrize("name", ["X-Tally-Method", "X-Tally-Path"])
def test_what_is_missing_is_named(name: str) -> None:
    assert refusal([one for one in headers() if one[0] != name]) == "MISSING_HEADER"


@pytest.mark.parametrize("name", ["X-Tally-Key", "X-Tally-Timestamp", "X-Tally-Signature"])
def test_an_unsigned_message_is_refused(name: str) -> None:
    assert refusal([one for one in headers() if one[0] != name]) == "MISSING_SIGNATURE"


@pytest.mark.parametrize("timestamp", [b"", b"now", b"-5", b"1" * 16, b"\xd9\xa1"])
def test_a_timestamp_is_a_number(timestamp: bytes) -> None:
    those = [(name, timestamp if name == "X-Tally-Timestamp" else value) for name, value in headers()]
    assert refusal(those) == "BAD_SIGNATURE"


def test_a_header_that_is_there_twice_is_refused() -> None:
    assert refusal([*headers(), ("x-tally-key", b"bo-1")]) == "BAD_HEADER"


@pytest.mark.parametrize("path", [b"", b"v1/orders", b"/v1/or\nders", "/v1/örders".encode(), b"/" + b"a" * 3_000])
def test_a_path_is_a_path(path: bytes) -> None:
    assert refusal(headers(path)) == "BAD_HEADER"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (b"GET", b"/v1/orders"),
        (b"POST", b"/v1/admin/deposits"),
        (b"POST", b"/v1/%61dmin/deposits"),
        (b"POST", b"/v1/%61dm%69n/deposits?x=1"),
        (b"POST", b"/metrics"),
        (b"post", b"/v1/orders"),
    ],
)
def test_reads_and_what_operators_do_are_not_taken(method: bytes, path: bytes) -> None:
    assert refusal(headers(path, method)) == "NOT_TAKEN"


def error(code: str, *, definite: bool = True) -> dict[str, Any]:
    return {"error": {"code": code, "message": "...", "definite": definite}}


@pytest.mark.parametrize(
    ("status", "body", "settled", "refused"),
    [
        (201, {"sequence": 5}, True, False),
        (422, error("NO_FUNDS"), True, True),
        (429, error("RATE_LIMIT"), True, True),
        (503, error("NO_LEADER"), False, True),
        (504, error("OUTCOME_UNKNOWN", definite=False), False, True),
        (500, error("INTERNAL", definite=False), False, True),
        (500, error("INTERNAL"), True, True),
        (401, error("REQUEST_EXPIRED"), False, True),
        (200, {"results": [{"status": 201}, {"status": 200}]}, True, False),
        (200, {"results": [{"status": 201}, {"status": 422, **error("NO_FUNDS")}]}, True, True),
        (200, {"results": [{"status": 201}, {"status": 504, **error("OUTCOME_UNKNOWN", definite=False)}]}, False, True),
        (200, {"results": [{"status": 503, **error("NO_LEADER")}]}, False, True),
    ],
)
def test_a_message_is_done_when_every_outcome_is_known(
    status: int, body: dict[str, Any], settled: bool, refused: bool
) -> None:
    answer = Answer(status, body)
    assert (answer.is_settled, answer.is_refusal) == (settled, refused)


def test_a_refusal_says_what_was_refused_why_and_where_it_was() -> None:
    told = dict(refusal_headers(headers(), Answer(422, error("NO_FUNDS")), "t:0:17"))
    assert told["X-Tally-Path"] == b"/v1/orders"
    assert told["X-Tally-Status"] == b"422"
    assert told["X-Tally-Answer"] == b'{"error":{"code":"NO_FUNDS","message":"...","definite":true}}'
    assert told["X-Tally-Source"] == b"t:0:17"
