"""How the journal's records look on disk, and how damage to them is recognised.

Every record carries an XXH3-64 checksum. That of an entry covers its index and term too, so that an intact entry at
the wrong place counts as damage.
"""

import struct
from typing import NamedTuple

import xxhash

Entry = tuple[bytes, int, int]
"""(command, log index, term): the order that pysyncobj uses."""

# The first byte of a command says what kind of entry it is.
APPLICATION = b"\x00"
NO_OP = b"\x01"  # as pysyncobj writes it
MEMBERSHIP = b"\x04"  # 2 and 3 are kinds of pysyncobj's that are never written here

_ENTRY_HEAD = struct.Struct(">QQ")  # term, checksum
_PLACE = struct.Struct(">QQ")  # index, term
_CHECKSUM = struct.Struct(">Q")


class JournalError(Exception):
    """Something is wrong with the journal; the node cannot run."""


class JournalDamaged(JournalError):
    """What is on disk is not what was written. `log_index` is the entry, or None for other records."""

    def __init__(self, message: str, log_index: int | None = None) -> None:
        super().__init__(message)
        self.log_index = log_index


class SnapshotReference(NamedTuple):
    """The snapshot that stands for all entries up to and including `log_index`."""

    log_index: int
    log_term: int


def seal_entry(command: bytes, index: int, term: int) -> bytes:
    """The value that is stored for an entry."""
    return _ENTRY_HEAD.pack(term, _entry_checksum(command, index, term)) + command


def unseal_entry(index: int, value: bytes) -> Entry:
    """The entry in a stored value; JournalDamaged if it is not what was stored at `index`."""
    if len(value) < _ENTRY_HEAD.size:
        raise JournalDamaged(f"log index {index} is damaged: cut to {len(value)} bytes", index)
    term, checksum = _ENTRY_HEAD.unpack_from(value)
    command = value[_ENTRY_HEAD.size :]
    if checksum != _entry_checksum(command, index, term):
        raise JournalDamaged(f"log index {index} is damaged: wrong checksum", index)
    return command, index, term


def seal(record: bytes) -> bytes:
    """A record with its checksum in front."""
    return _CHECKSUM.pack(xxhash.xxh3_64_intdigest(record)) + record


def unseal(value: bytes, what: str) -> bytes:
    """The record in a stored value; JournalDamaged, naming `what`, if the checksum is wrong."""
    record = value[_CHECKSUM.size :]
    if value[: _CHECKSUM.size] != _CHECKSUM.pack(xxhash.xxh3_64_intdigest(record)):
        raise JournalDamaged(f"the journal's record of {what} is damaged: wrong checksum")
    return record


def _entry_checksum(command: bytes, index: int, term: int) -> int:
    hasher = xxhash.xxh3_64(_PLACE.pack(index, term))
    hasher.update(command)
    return hasher.intdigest()
