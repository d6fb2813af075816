"""The key with which a replica signs receipts: Ed25519 (RFC 8032), one for each replica, made at its first start.

It proves who said something and is good for nothing else: no link and no command depends on it. So a lost one is
replaced by a new one; what was signed before is checked with the old public key, which has to be kept.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from replication.private_directory import write_private_file

SIGNING_KEY_FILE: Final = "signing.key"
PUBLIC_KEY_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64
_SEED_SIZE: Final = 32
_SEED: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)

logger = logging.getLogger(__name__)


class SigningKeyDamaged(Exception):
    """The file is there, but it holds no key, or others may read it."""


class SigningKey:
    """``public_key`` is what others check signatures with, 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_key = self._key.public_key().public_bytes_raw()

    def sign(self, statement: bytes) -> bytes:
        return self._key.sign(statement)


def load_or_create(directory: Path, random_bytes: Callable[[int], bytes] = os.urandom) -> SigningKey:
    """The key of the replica whose data this is; made and durable before it is used if there is none yet.

    SigningKeyDamaged, or OSError.
    """
    path = directory / SIGNING_KEY_FILE
    if not path.exists():
        write_private_file(path, random_bytes(_SEED_SIZE).hex() + "\n")
        logger.info("made a new key for signing receipts: %s", path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SigningKeyDamaged(f"{path}: others than its owner may use it: run chmod 600 on it")
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if _SEED.fullmatch(text) is None:
        raise SigningKeyDamaged(
            f"{path}: it must hold 64 hexadecimal digits: put it back from a copy, or move it away and get a new key"
        )
    return SigningKey(bytes.fromhex(text))


def is_signed(public_key: bytes, signature: bytes, statement: bytes) -> bool:
    """Whether the owner of the key signed exactly this."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, statement)
    except (InvalidSignature, ValueError):
        return False
    return True
