"""A workload file of the public matching-engine benchmark (flash1-dev/matching-engine-benchmark).

``u64 magic, u32 version, u32 count``, then ``count`` records of 40 bytes: ``u8 type, u8 side, u8 ioc, u8 unused,
u32 quantity, u64 sequence_number, u64 order_id, i64 price_ticks, i64 unused``, all little-endian, plain or as .xz.
A modify is a cancel and a reinsertion: the order loses its place, whatever is changed.
"""

from __future__ import annotations

import lzma
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from engine.types import BUY, SELL

MAGIC: Final = 0x4D4542575F303031  # MEBW_001
VERSION: Final = 1
HEADER: Final = Struct("<QII")
RECORD: Final = Struct("<BBBxIQQq8x")

NEW: Final = 0
CANCEL: Final = 1
MODIFY: Final = 2

# The bytes of a record that have few values: where they stand, what they are, and what each value means.
_CHECKED: Final = (
    (0, "type", ("new", "cancel", "modify")),
    (1, "side", ("buy", "sell")),
    (2, "IOC flag", ("rests", "immediate or cancel")),
)


class WorkloadError(Exception):
    """The file is not such a workload, or it is damaged. The text says what is wrong."""


class Message(NamedTuple):
    """One record. ``quantity`` is in lots. Of a cancel only ``sequence_number`` and ``order_id`` count."""

    type: int
    side: int
    ioc: int
    quantity: int
    sequence_number: int
    order_id: int
    price_ticks: int


class Workload:
    """Messages in the order in which they are to be executed."""

    def __init__(self, name: str, records: bytes) -> None:
        self.name = name
        self.count = len(records) // RECORD.size
        self._records = records

    def __iter__(self) -> Iterator[tuple[int, int, int, int, int, int, int]]:
        """The fields of :class:`Message`, as plain tuples: making two million of these is what takes time."""
        return RECORD.iter_unpack(self._records)

    def resting_max(self) -> tuple[int, int]:
        """How many orders can come to rest on each side, at most: those that are placed and are not IOC."""
        columns = [self._column(offset) for offset, *_ in _CHECKED]
        counts = Counter(zip(*columns, strict=True))
        return counts[NEW, BUY, 0], counts[NEW, SELL, 0]

    def validate(self) -> None:
        """WorkloadError if a record says something that the format does not know."""
        for offset, what, known in _CHECKED:
            column = self._column(offset)
            unknown = set(column) - set(range(len(known)))
            if unknown:
                index = min(column.index(value) for value in unknown)
                listed = ", ".join(f"{value} {name}" for value, name in enumerate(known))
                raise WorkloadError(f"{self.name}: record {index} has the {what} {column[index]}; known are {listed}")

    def _column(self, offset: int) -> bytes:
        return self._records[offset :: RECORD.size]


def read_workload(path: Path, limit: int | None = None) -> Workload:
    """Read a file, or the first ``limit`` messages of it. WorkloadError if it is not a workload."""
    data = _read(path)
    if len(data) < HEADER.size:
        raise WorkloadError(f"{path} is cut short: it has not even a header of {HEADER.size} bytes")
    magic, version, count = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise WorkloadError(
            f"{path} is not a workload of the benchmark: it begins with {magic:#018x}, not {MAGIC:#018x}"
        )
    if version != VERSION:
        raise WorkloadError(f"{path} has version {version} of the format; this reads version {VERSION}")
    found, rest = divmod(len(data) - HEADER.size, RECORD.size)
    if found < count:
        raise WorkloadError(f"{path} is cut short: it announces {count:,} messages and holds {found:,}")
    if found > count or rest:
        raise WorkloadError(f"{path}: bytes follow the {count:,} messages that it announces")
    taken = count if limit is None else min(count, limit)
    workload = Workload(path.name, data[HEADER.size : HEADER.size + taken * RECORD.size])
    workload.validate()
    return workload


def encode_workload(messages: list[Message]) -> bytes:
    """A workload file with these messages."""
    return HEADER.pack(MAGIC, VERSION, len(messages)) + b"".join(RECORD.pack(*message) for message in messages)


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WorkloadError(f"{path} cannot be read: {error.strerror or error}") from None
    if path.suffix != ".xz":
        return data
    try:
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ)
        data = decompressor.decompress(data)
    except lzma.LZMAError as error:
        raise WorkloadError(f"{path} is named .xz, but it is no sound xz file: {error}") from None
    if not decompressor.eof:
        raise WorkloadError(f"{path} is cut short: the xz data ends in the middle")
    return data
