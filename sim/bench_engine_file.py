"""A workload as a file, which the process that measures reads: a line of JSON, then records ``u32 length, bytes``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final

from sim.bench_engine_workloads import Workload

_LENGTH: Final = Struct("<I")


def write_workload(path: Path, workload: Workload) -> None:
    numbers = {
        "name": workload.name,
        "seed": workload.seed,
        "now_ns": workload.now_ns,
        "commands": workload.commands,
        "resting": workload.resting,
        "counts": [len(workload.setup), len(workload.entries), len(workload.sweeps)],
    }
    with path.open("wb") as file:
        file.write(json.dumps(numbers).encode() + b"\n")
        for records in (workload.setup, workload.entries, workload.sweeps):
            _write(file, records)


def load_workload(path: Path) -> Workload:
    with path.open("rb") as file:
        numbers = json.loads(file.readline())
        setup, entries, sweeps = (_read(file, count) for count in numbers["counts"])
    return Workload(
        numbers["name"],
        numbers["seed"],
        numbers["now_ns"],
        numbers["commands"],
        setup,
        entries,
        sweeps,
        numbers["resting"],
    )


def _write(file: BinaryIO, records: Iterable[bytes]) -> None:
    for record in records:
        file.write(_LENGTH.pack(len(record)))
        file.write(record)


def _read(file: BinaryIO, count: int) -> list[bytes]:
    records = []
    for _ in range(count):
        (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
        records.append(file.read(length))
    return records
