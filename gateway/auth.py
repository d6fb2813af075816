"""Who asks: API keys, signatures, and the sealing of secrets.

A request is signed with HMAC-SHA256 over::

    timestamp in ms \\n METHOD \\n path with query exactly as sent \\n raw body

The log keeps every key with its secret sealed under the master key, which only gateways have. A gateway asks the
leader for a key once and then remembers it: keys are never changed, so a positive answer stays true. A negative
one is remembered for a second only, because the key may be created at any moment.

For speed a remembered key holds two SHA-256 states that have consumed the padded secret already (RFC 2104): copying
them costs a third of a new HMAC.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.types import OPERATOR, REQUEST_AGE_NS_MAX
from gateway.errors import Unauthenticated
from gateway.parsing import check_id

KEY_HEADER: Final = b"x-tally-key"
TIMESTAMP_HEADER: Final = b"x-tally-timestamp"
SIGNATURE_HEADER: Final = b"x-tally-signature"
MASTER_KEY_SIZE: Final = 32

_NS_PER_MS: Final = 1_000_000
_UNKNOWN_KEY_MEMORY_NS: Final = 1_000_000_000
_KEYS_REMEMBERED_MAX: Final = 100_000
_TIMESTAMP: Final = re.compile(rb"[0-9]{1,15}")
_BLOCK_SIZE: Final = 64
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))
_SEAL_VERSION: Final = b"\x01"
_NONCE_SIZE: Final = 12


class SealError(Exception):
    """A sealed secret cannot be opened: this gateway has another master key than the one that sealed it."""


class Signed(NamedTuple):
    """The headers of a signed request, not verified yet."""

    key_id: str
    timestamp: bytes
    signature: bytes

    @property
    def issued_at_ns(self) -> int:
        return int(self.timestamp) * _NS_PER_MS


class Caller:
    """An API key that exists: whose it is, and what verifies its signatures."""

    __slots__ = ("_inner", "_outer", "account_id", "is_operator", "key_id")

    def __init__(self, key_id: str, account_id: int, role: int, secret: bytes) -> None:
        self.key_id = key_id
        self.account_id = account_id
        self.is_operator = role == OPERATOR
        block = hashlib.sha256(secret).digest() if len(secret) > _BLOCK_SIZE else secret
        block = block.ljust(_BLOCK_SIZE, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER_PAD))
        self._outer = hashlib.sha256(block.translate(_OUTER_PAD))

    def elsewhere(self, account_id: int) -> Caller:
        """The same caller in another market group, where the account has this number."""
        other = Caller.__new__(Caller)
        other.key_id, other.account_id, other.is_operator = self.key_id, account_id, self.is_operator
        other._inner, other._outer = self._inner, self._outer
        return other

    def sign(self, timestamp: bytes, method: bytes, target: bytes, body: bytes | bytearray) -> str:
        inner = self._inner.copy()
        inner.update(b"\n".join((timestamp, method, target, body)))
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()

    def verify(self, signed: Signed, method: bytes, target: bytes, body: bytes | bytearray) -> None:
        expected = self.sign(signed.timestamp, method, target, body).encode("ascii")
        if not hmac.compare_digest(expected, signed.signature.lower()):
            raise Unauthenticated(
                "BAD_SIGNATURE", "The signature does not fit the timestamp, method, path with query and body."
            )


class KeyRing:
    """The API keys that this gateway has met. ``fetch`` asks the leader for the record of one key."""

    def __init__(self, master_key: bytes, fetch: Callable[[str], Awaitable[dict[str, Any] | None]]) -> None:
        self._master_key = master_key
        self._fetch = fetch
        self._known: dict[str, Caller] = {}
        self._unknown_until_ns: dict[str, int] = {}

    def known(self, key_id: str) -> Caller | None:
        """A key met before, without asking anybody."""
        return self._known.get(key_id)

    async def find(self, key_id: str, now_ns: int) -> Caller:
        caller = self._known.get(key_id)
        if caller is not None:
            return caller
        if self._unknown_until_ns.get(key_id, 0) > now_ns:
            raise _unknown_key()
        record = await self._fetch(key_id)
        if record is None:
            if len(self._unknown_until_ns) >= _KEYS_REMEMBERED_MAX:
                self._unknown_until_ns.clear()
            self._unknown_until_ns[key_id] = now_ns + _UNKNOWN_KEY_MEMORY_NS
            raise _unknown_key()
        secret = unseal(self._master_key, key_id, record["sealed_secret"])
        caller = Caller(key_id, record["account_id"], record["role"], secret)
        if len(self._known) >= _KEYS_REMEMBERED_MAX:
            self._known.clear()
        self._known[key_id] = caller
        self._unknown_until_ns.pop(key_id, None)
        return caller


def read_signature(headers: Iterable[tuple[bytes, bytes]], now_ns: int) -> Signed:
    """Find the three headers and check the timestamp. The signature itself is for :meth:`Caller.verify`."""
    key_id = timestamp = signature = None
    for name, value in headers:
        if name == KEY_HEADER:
            key_id = value
        elif name == TIMESTAMP_HEADER:
            timestamp = value
        elif name == SIGNATURE_HEADER:
            signature = value
    if key_id is None or timestamp is None or signature is None:
        raise Unauthenticated(
            "MISSING_SIGNATURE",
            "This route needs the headers X-Tally-Key, X-Tally-Timestamp and X-Tally-Signature.",
        )
    if _TIMESTAMP.fullmatch(timestamp) is None:
        raise Unauthenticated("BAD_SIGNATURE", "X-Tally-Timestamp must be milliseconds since the epoch, as an integer.")
    if abs(now_ns - int(timestamp) * _NS_PER_MS) > REQUEST_AGE_NS_MAX:
        raise Unauthenticated(
            "REQUEST_EXPIRED", "The request was signed more than 60 seconds away from the gateway's time."
        )
    return Signed(check_id(key_id.decode("latin-1"), "X-Tally-Key"), timestamp, signature)


def seal(master_key: bytes, key_id: str, secret: bytes) -> bytes:
    """Encrypt a secret for the log with AES-256-GCM, bound to the id of its key."""
    nonce = os.urandom(_NONCE_SIZE)
    return _SEAL_VERSION + nonce + AESGCM(master_key).encrypt(nonce, secret, key_id.encode("ascii"))


def unseal(master_key: bytes, key_id: str, sealed: bytes) -> bytes:
    """The secret that :func:`seal` hid. SealError if it was sealed with another master key or for another key id."""
    nonce_end = len(_SEAL_VERSION) + _NONCE_SIZE
    if sealed[: len(_SEAL_VERSION)] != _SEAL_VERSION:
        raise SealError(f"the secret of API key {key_id} is sealed in a way that this version does not know")
    nonce = sealed[len(_SEAL_VERSION) : nonce_end]
    try:
        return AESGCM(master_key).decrypt(nonce, sealed[nonce_end:], key_id.encode("ascii"))
    except (InvalidTag, ValueError):
        raise SealError(f"the master key does not open the secret of API key {key_id}") from None


def _unknown_key() -> Unauthenticated:
    return Unauthenticated("UNKNOWN_KEY", "There is no such API key.")
