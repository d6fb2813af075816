"""Signatures, sealed secrets and what a gateway remembers about keys."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Any

import pytest

from engine.types import OPERATOR, TRADER
from gateway.auth import Caller, KeyRing, SealError, Signed, read_signature, seal, unseal
from gateway.errors import BadRequest, Unauthenticated

MASTER_KEY = bytes(range(32))
NOW_NS = 1_700_000_000_000 * 1_000_000


def headers(
    key: bytes = b"k", timestamp: bytes = b"1700000000000", signature: bytes = b"00"
) -> list[tuple[bytes, bytes]]:
    return [(b"x-tally-key", key), (b"x-tally-timestamp", timestamp), (b"x-tally-signature", signature)]


@pytest.mark.parametrize("secret", [b"", b"s", b"x" * 64, b"x" * 65, bytes(range(256))])
def test_a_signature_is_plain_hmac_sha256(secret: bytes) -> None:
    message = b"1700000000000\nPOST\n/v1/orders?x=%20\n{}"
    expected = hmac.new(secret, message, hashlib.sha256).hexdigest()
    caller = Caller("k", 1, TRADER, secret)
    assert caller.sign(b"1700000000000", b"POST", b"/v1/orders?x=%20", b"{}") == expected
    caller.verify(Signed("k", b"1700000000000", expected.encode()), b"POST", b"/v1/orders?x=%20", b"{}")
    caller.verify(Signed("k", b"1700000000000", expected.upper().encode()), b"POST", b"/v1/orders?x=%20", b"{}")


@pytest.mark.parametrize(
    ("timestamp", "method", "target", "body"),
    [
        (b"1700000000001", b"POST", b"/v1/orders", b"{}"),
        (b"1700000000000", b"PUT", b"/v1/orders", b"{}"),
        (b"1700000000000", b"POST", b"/v1/orders?a=1", b"{}"),
        (b"1700000000000", b"POST", b"/v1/orders", b"{ }"),
    ],
)
def test_a_signature_covers_timestamp_method_target_and_body(
    timestamp: bytes, method: bytes, target: bytes, body: bytes
) -> None:
    caller = Caller("k", 1, TRADER, b"secret")
    signature = caller.sign(b"1700000000000", b"POST", b"/v1/orders", b"{}").encode()
    with pytest.raises(Unauthenticated) as caught:
        caller.verify(Signed("k", timestamp, signature), method, target, body)
    assert caught.value.code == "BAD_SIGNATURE"


@pytest.mark.parametrize("signature", [b"", b"00", b"g" * 64, b"\xff" * 64, b"0" * 10_000])
def test_nonsense_is_not_a_signature(signature: bytes) -> None:
    with pytest.raises(Unauthenticated):
        Caller("k", 1, TRADER, b"secret").verify(Signed("k", b"1", signature), b"GET", b"/", b"")


def test_all_three_headers_are_needed() -> None:
    for missing in range(3):
        some = headers()
        del some[missing]
        with pytest.raises(Unauthenticated) as caught:
            read_signature(some, NOW_NS)
        assert caught.value.code == "MISSING_SIGNATURE"


@pytest.mark.parametrize("timestamp", [b"", b"-1", b"1e12", b"1.5", b"abc", b"1" * 16, b"\xd9\xa1"])
def test_a_timestamp_is_an_integer(timestamp: bytes) -> None:
    with pytest.raises(Unauthenticated) as caught:
        read_signature(headers(timestamp=timestamp), NOW_NS)
    assert caught.value.code == "BAD_SIGNATURE"


@pytest.mark.parametrize(("shift_ms", "fresh"), [(60_000, True), (-60_000, True), (60_001, False), (-60_001, False)])
def test_a_timestamp_is_within_a_minute(shift_ms: int, fresh: bool) -> None:
    some = headers(timestamp=b"%d" % (1_700_000_000_000 + shift_ms))
    if fresh:
        assert read_signature(some, NOW_NS).issued_at_ns == NOW_NS + shift_ms * 1_000_000
        return
    with pytest.raises(Unauthenticated) as caught:
        read_signature(some, NOW_NS)
    assert caught.value.code == "REQUEST_EXPIRED"


def test_a_key_id_is_an_id() -> None:
    with pytest.raises(BadRequest) as caught:
        read_signature(headers(key=b"a/b\xff"), NOW_NS)
    assert caught.value.code == "BAD_ID"


def test_a_sealed_secret_opens_with_the_same_master_key_and_key_id_only() -> None:
    sealed = seal(MASTER_KEY, "k", b"secret")
    assert b"secret" not in sealed
    assert unseal(MASTER_KEY, "k", sealed) == b"secret"
    for master_key, key_id, data in [
        (bytes(32), "k", sealed),
        (MASTER_KEY, "k2", sealed),
        (MASTER_KEY, "k", sealed[:-1]),
        (MASTER_KEY, "k", b"\x02" + sealed[1:]),
        (MASTER_KEY, "k", b""),
        (MASTER_KEY, "k", b"\x01"),
    ]:
        with pytest.raises(SealError):
            unseal(master_key, key_id, data)


def test_the_same_secret_is_sealed_differently_each_time() -> None:
    assert seal(MASTER_KEY, "k", b"secret") != seal(MASTER_KEY, "k", b"secret")


class Records:
    """The keys in a log, and how often they were asked for."""

    def __init__(self) -> None:
        self.by_id: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []

    def add(self, key_id: str, role: int) -> None:
        sealed = seal(MASTER_KEY, key_id, b"secret")
        self.by_id[key_id] = {"key_id": key_id, "account_id": 5, "role": role, "sealed_secret": sealed}

    async def fetch(self, key_id: str) -> dict[str, Any] | None:
        self.asked.append(key_id)
        return self.by_id.get(key_id)


def test_a_key_is_asked_for_once() -> None:
    records = Records()
    records.add("k", OPERATOR)
    ring = KeyRing(MASTER_KEY, records.fetch)
    assert ring.known("k") is None
    callers = [asyncio.run(ring.find("k", NOW_NS + later_ns)) for later_ns in (0, 10**15)]
    assert callers[0] is callers[1] is ring.known("k")
    assert (callers[0].account_id, callers[0].is_operator) == (5, True)
    assert records.asked == ["k"]


def test_an_unknown_key_is_asked_for_again_after_a_second() -> None:
    records = Records()
    ring = KeyRing(MASTER_KEY, records.fetch)
    for later_ns in (0, 999_999_999):
        with pytest.raises(Unauthenticated) as caught:
            asyncio.run(ring.find("k", NOW_NS + later_ns))
        assert caught.value.code == "UNKNOWN_KEY"
    assert records.asked == ["k"]
    records.add("k", TRADER)
    assert not asyncio.run(ring.find("k", NOW_NS + 1_000_000_000)).is_operator


def test_a_secret_under_another_master_key_is_a_fault_of_the_operator_not_of_the_client() -> None:
    records = Records()
    records.add("k", TRADER)
    with pytest.raises(SealError, match="k"):
        asyncio.run(KeyRing(bytes(32), records.fetch).find("k", NOW_NS))
