"""A command as it is executed has what its record says, as the codec reads it."""

from __future__ import annotations

from random import Random

import pytest

from engine.codec import COMMAND_LAYOUTS, Layout, decode_command, encode_command
from engine.commands import AmendOrder, CancelOrder, PlaceOco, PlaceOrder, PlaceSpecialOrder
from engine.order_command import OrderCommand
from tests.engine.workload_edges import edge_record

# The kinds whose numbers an OrderCommand has itself.
NUMBERS: dict[type, set[str]] = {
    PlaceOrder: set(PlaceOrder._fields) - {"client_order_id"},
    PlaceSpecialOrder: set(PlaceOrder._fields) - {"client_order_id"},
    CancelOrder: {"account_id", "issued_at_ns", "order_id"},
    AmendOrder: set(AmendOrder._fields) - {"client_order_id", "request_id"},
}
SEEDS = range(30)
EVERY_KIND = pytest.mark.parametrize("layout", COMMAND_LAYOUTS, ids=[one.record.__name__ for one in COMMAND_LAYOUTS])


def _text(command: OrderCommand, start: int, length: int) -> bytes:
    return command.data[start : start + length]


@EVERY_KIND
def test_the_numbers_are_those_of_the_record(layout: Layout) -> None:
    command = OrderCommand()
    for seed in SEEDS:
        data = encode_command(edge_record(layout, Random(seed)))
        expected, _ = decode_command(data)
        assert command.read(data, 0) == len(data)
        assert command.kind == layout.kind and command.data == data
        for field in NUMBERS.get(layout.record, {"account_id", "issued_at_ns"}):
            assert getattr(command, field) == getattr(expected, field), field
        assert command.record == (None if layout.record in (PlaceOrder, CancelOrder, AmendOrder) else expected)
        assert command.record is None or type(command.record) is layout.record


@EVERY_KIND
def test_the_id_is_the_last_text_and_the_name_the_one_before(layout: Layout) -> None:
    command = OrderCommand()
    for seed in SEEDS:
        data = encode_command(edge_record(layout, Random(seed)))
        expected, _ = decode_command(data)
        command.read(data, 0)
        texts = [b"", b"", *expected[len(expected) - layout.texts :]]
        assert _text(command, command.name_start, command.name_length) == texts[-2]
        assert _text(command, command.id_start, command.id_length) == texts[-1]


@EVERY_KIND
def test_the_content_is_all_but_who_asks_when_and_under_which_id(layout: Layout) -> None:
    command = OrderCommand()
    for seed in SEEDS:
        record = edge_record(layout, Random(seed))
        data = encode_command(record)
        command.read(data, 0)
        without_id = data[: len(data) - 1 - command.id_length] if layout.texts else data
        assert _text(command, command.content_start, command.content_length) == without_id[4 + 8 + 8 :]


def test_commands_are_read_one_behind_the_other_into_the_same_object() -> None:
    """Nothing of a command is left for those behind it."""
    random, again = Random(5), OrderCommand()
    records = [edge_record(random.choice(COMMAND_LAYOUTS), random) for _ in range(400)]
    data = b"".join(encode_command(record) for record in records)
    position = 0
    for record in records:
        fresh, start, position = OrderCommand(), position, again.read(data, position)
        assert fresh.read(data, start) == position == decode_command(data, start)[1]
        for field in ("kind", "name_start", "name_length", "id_start", "id_length", "content_start", "content_length"):
            assert getattr(again, field) == getattr(fresh, field), field
        assert again.record == fresh.record and (again.record is None or again.record == record)
        for field in NUMBERS.get(type(record), set()):
            assert getattr(again, field) == getattr(record, field), field
    assert position == len(data)


def test_the_name_of_a_pair_is_that_of_its_stop_leg() -> None:
    command = OrderCommand()
    command.read(encode_command(PlaceOco(7, 1, 1, 1, 0, 1, 0, 2, 0, 3, 0, 0, 254, b"stop", b"limit")), 0)
    assert _text(command, command.name_start, command.name_length) == b"stop"
    assert _text(command, command.id_start, command.id_length) == b"limit"
