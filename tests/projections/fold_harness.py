"""Entries by chance, and the tables as a dictionary of the last row of each key: what a database would hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from engine.codec import decode_events, encode_command
from engine.commands import Command
from engine.entry import Entry
from engine.machine import Machine
from projections.rows import Rows
from projections.schema import metadata
from tests.engine.workload_special import SPECIAL_LISTING, SpecialWorkload, special_choices

Tables = dict[str, dict[tuple[Any, ...], Any]]
KEY_SIZES = {name: len(table.primary_key.columns) for name, table in metadata.tables.items()}


class Exchange:
    """An engine that is asked by a workload, and its entries."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.workload = SpecialWorkload()

    def execute(self, now_ns: int, batch: Sequence[Command]) -> Entry:
        applied = self.machine.apply(now_ns, b"".join(map(encode_command, batch)))
        for _, event in decode_events(applied.entry.events):
            self.workload.heard(event)
        return applied.entry

    def entries(self, seed: int, count: int) -> Iterator[Entry]:
        """Of the listing, one command each, and then of so many commands by chance, up to five in an entry."""
        for command in SPECIAL_LISTING:
            yield self.execute(command.issued_at_ns, [command])
        batch: list[Command] = []
        now_ns = 0
        for choice in special_choices(Random(seed), count):
            then_ns, now_ns = now_ns, self.workload.now_ns
            now_ns, command = self.workload.next_command(choice)
            if batch and (now_ns != then_ns or len(batch) > choice.earlier % 4):
                yield self.execute(then_ns, batch)
                batch = []
            batch.append(command)
        yield self.execute(now_ns, batch)


def new_tables() -> Tables:
    return {name: {} for name in Rows._fields}


def write(tables: Tables, rows: Rows) -> None:
    """Keep the newest row of each key."""
    for name, changed in rows.by_table():
        for row in changed:
            tables[name][row[: key_size(name)]] = row


def key_size(name: str) -> int:
    return KEY_SIZES[name]
