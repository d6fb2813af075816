"""Histories that one exchange could have, and histories that must be rejected."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import inf
from random import Random
from typing import Any

import pytest

from engine import queries
from engine.codec import encode_command
from engine.commands import Command, CreateAccount, CreateAsset, Deposit
from engine.entry import Entry
from engine.machine import Machine
from engine.types import EXCHANGE_ACCOUNT, TRADER
from sim.linearizability import Operation, Read, as_told, out_of_order, wrong_value

NS = 1_750_000_000_000_000_000


def write(name: str, sent_s: float, returned_s: float, sequence: int) -> Operation:
    return Operation(name, sent_s, returned_s, sequence)


def read(name: str, sent_s: float, returned_s: float, sequence: int, *, is_bound: bool = True) -> Operation:
    return Operation(name, sent_s, returned_s, sequence, is_read=True, is_bound=is_bound)


def test_what_overlaps_may_be_in_any_order() -> None:
    assert not out_of_order([write("a", 0, 3, 2), write("b", 1, 2, 1), read("c", 0, 3, 0)])


def test_what_touches_overlaps() -> None:
    assert not out_of_order([write("a", 0, 1, 2), write("b", 1, 2, 1)])


def test_a_write_that_was_sent_after_another_was_answered_may_not_stand_before_it() -> None:
    broken = out_of_order([write("b", 2, 3, 1), write("a", 0, 1, 2)])
    assert broken == "b was sent after a had been answered as of sequence 2, and stands at 1"


def test_two_writes_cannot_have_one_place() -> None:
    assert "stands at 7" in out_of_order([write("a", 0, 1, 7), write("b", 2, 3, 7)])


def test_a_read_sees_what_was_answered_before_it_was_asked() -> None:
    assert not out_of_order([write("a", 0, 1, 5), read("r", 2, 3, 5)])
    assert "saw only 4" in out_of_order([write("a", 0, 1, 5), read("r", 2, 3, 4)])


def test_a_later_read_does_not_see_less_than_an_earlier_one_of_somebody_else() -> None:
    assert "q was sent after r had been answered" in out_of_order([read("r", 0, 1, 5), read("q", 2, 3, 4)])


def test_a_write_does_not_stand_where_a_read_has_seen_already() -> None:
    assert "stands at 5" in out_of_order([read("r", 0, 1, 5), write("a", 2, 3, 5)])


def test_a_read_that_may_be_old_may_be_old_and_binds_the_others() -> None:
    old = read("old", 2, 3, 1, is_bound=False)
    assert not out_of_order([write("a", 0, 1, 5), old])
    assert out_of_order([read("r", 0, 1, 5, is_bound=False), read("q", 2, 3, 4)])


def test_what_was_never_answered_may_happen_at_any_time() -> None:
    assert not out_of_order([write("lost", 0, inf, 9), write("a", 1, 2, 3), write("b", 3, 4, 10)])


@pytest.mark.parametrize("seed", range(20))
def test_real_histories_pass_and_one_exchanged_pair_is_found(seed: int) -> None:
    """Operations that take effect at a random moment of their time; then two that do not overlap change places."""
    chance = Random(seed)
    spans = [(start := chance.random() * 100, start + 0.1 + chance.random() * 3) for _ in range(200)]
    moments = sorted((chance.uniform(*span), span) for span in spans)
    history = [write(str(number), *span, number) for number, (_, span) in enumerate(moments, start=1)]
    chance.shuffle(history)
    assert not out_of_order(history)
    early, late = min(history, key=lambda one: one.returned_s), max(history, key=lambda one: one.sent_s)
    swapped = {early: early._replace(sequence=late.sequence), late: late._replace(sequence=early.sequence)}
    assert out_of_order([swapped.get(one, one) for one in history])


def log(commands: Sequence[Command]) -> list[Entry]:
    machine = Machine()
    return [machine.apply(NS + number, encode_command(command)).entry for number, command in enumerate(commands)]


HISTORY = log(
    [
        CreateAsset(EXCHANGE_ACCOUNT, NS, 2, b"GLD"),
        CreateAccount(EXCHANGE_ACCOUNT, NS, TRADER, b"ana"),
        Deposit(EXCHANGE_ACCOUNT, NS, 1, 1, 100, 0, b"one"),
        Deposit(EXCHANGE_ACCOUNT, NS, 1, 1, 50, 0, b"two"),
    ]
)


def balances(machine: Machine) -> Any:
    return queries.balances(machine, 1)


def told(sequence: int) -> Any:
    machine = Machine()
    for entry in HISTORY[:sequence]:
        machine.apply(entry.timestamp_ns, entry.commands)
    return as_told(balances(machine))


def test_reads_that_were_told_what_the_log_says_pass() -> None:
    assert told(3) != told(4)
    assert not wrong_value(HISTORY, [Read("r", sequence, balances, told(sequence)) for sequence in (4, 2, 3, 3)])


def test_a_read_that_was_told_the_state_of_another_sequence_is_rejected() -> None:
    broken = wrong_value(HISTORY, [Read("fine", 2, balances, told(2)), Read("r", 3, balances, told(4))])
    assert broken.startswith("r as of sequence 3 was told ")


def test_a_read_beyond_the_log_is_rejected() -> None:
    assert wrong_value(HISTORY, [Read("r", 5, balances, told(4))]) == "r names sequence 5, which is not in the log"


def test_a_read_in_the_middle_of_an_entry_is_rejected() -> None:
    machine = Machine()
    together = [encode_command(CreateAsset(EXCHANGE_ACCOUNT, NS, 2, name)) for name in (b"GLD", b"EUR")]
    history = [machine.apply(NS, b"".join(together)).entry]
    assert "where no replica ever was" in wrong_value(history, [Read("r", 1, partial(balances), [])])
