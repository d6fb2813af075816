"""The version of the rules: set by a command, never back, never to what this code does not know."""

from __future__ import annotations

import pytest

from engine import rejects
from engine.codec import encode_command
from engine.commands import (
    CreateAccount,
    CreateAsset,
    DecideWithdrawal,
    Deposit,
    FreezeAccount,
    RequestWithdrawal,
    SetRulesVersion,
)
from engine.events import CommandRejected, RulesVersionSet, WithdrawalChanged
from engine.invariants import assert_sound
from engine.machine import Machine
from engine.rules import NEWEST_RULES_VERSION, RulesNotKnown
from engine.snapshot import (
    VERSION,
    VERSION_WITH_RULES,
    SnapshotError,
    restore,
    snapshot_bytes,
    state_hash,
    version_of,
)
from engine.types import APPROVE, APPROVED, TRADER
from tests.engine.exchange import EUR, Exchange
from tests.engine.snapshot_parts import sections_of

NOW_NS = 1_750_000_000 * 10**9
ANA = 1
WITHDRAWAL = 4  # the sequence of its request


def set_to(version: int) -> SetRulesVersion:
    return SetRulesVersion(0, NOW_NS, version, b"operator-1")


def applied(machine: Machine, *commands: tuple[object, ...]) -> None:
    for command in commands:
        machine.apply(NOW_NS, encode_command(command))  # type: ignore[arg-type]


def machine_with_a_withdrawal(**knows: int) -> Machine:
    machine = Machine(**knows)
    applied(
        machine,
        CreateAsset(0, NOW_NS, 0, b"EUR"),
        CreateAccount(0, NOW_NS, TRADER, b"ana"),
        Deposit(0, NOW_NS, ANA, 1, 100, 0, b"dep-1"),
        RequestWithdrawal(ANA, NOW_NS, 1, 40, 0, b"IBAN-1", b"w-1"),
        FreezeAccount(0, NOW_NS, ANA, 1),
    )
    return machine


def test_an_exchange_begins_with_the_oldest_rules_and_goes_on_to_newer_ones_only() -> None:
    exchange = Exchange()
    assert exchange.machine.rules.version == 1
    assert exchange.run(set_to(1)) == [RulesVersionSet(1, b"operator-1")]
    assert exchange.run(set_to(0)) == [CommandRejected(rejects.WRONG_STATE, 0)]
    assert exchange.run(set_to(2)) == [RulesVersionSet(2, b"operator-1")]
    assert exchange.run(set_to(2)) == [RulesVersionSet(2, b"operator-1")]
    assert exchange.run(set_to(1)) == [CommandRejected(rejects.WRONG_STATE, 0)]
    assert exchange.machine.rules.version == 2


def test_a_trader_does_not_change_the_rules() -> None:
    exchange = Exchange()
    assert exchange.run(set_to(2)._replace(account_id=ANA)) == [CommandRejected(rejects.NOT_ALLOWED, 0)]
    assert exchange.machine.rules.version == 1


@pytest.mark.parametrize("knows", range(1, NEWEST_RULES_VERSION + 1))
def test_a_version_that_this_code_does_not_know_is_not_guessed(knows: int) -> None:
    machine = Machine(newest_rules_version=knows)
    applied(machine, set_to(knows))
    chain = machine.chain
    with pytest.raises(RulesNotKnown, match=f"version {knows + 1} of the rules .* knows rules up to {knows}"):
        applied(machine, set_to(knows + 1))
    assert (machine.rules.version, machine.chain) == (knows, chain)


def test_a_withdrawal_of_a_frozen_account_is_approved_by_the_first_rules_and_not_by_the_second() -> None:
    exchange = Exchange()
    first, second = (_ask_for(exchange, units) for units in (1, 2))
    exchange.run(FreezeAccount(0, exchange.now_ns, ANA, 1))
    approved = exchange.run(DecideWithdrawal(0, exchange.now_ns, first, APPROVE))
    assert isinstance(approved[0], WithdrawalChanged) and approved[0].status == APPROVED
    exchange.run(set_to(2))
    frozen = [CommandRejected(rejects.ACCOUNT_FROZEN, 0)]
    assert exchange.run(DecideWithdrawal(0, exchange.now_ns, second, APPROVE)) == frozen
    assert exchange.machine.ledger.held_units(ANA, EUR) == 1 + 2
    again = exchange.run(DecideWithdrawal(0, exchange.now_ns, first, APPROVE))
    assert again[1:] == approved, "what was approved before is a repeat for ever"
    exchange.run(FreezeAccount(0, exchange.now_ns, ANA, 0))
    freed = exchange.run(DecideWithdrawal(0, exchange.now_ns, second, APPROVE))
    assert isinstance(freed[0], WithdrawalChanged) and freed[0].status == APPROVED


def _ask_for(exchange: Exchange, units: int) -> int:
    """Ana asks for a withdrawal. Answers its number."""
    exchange.run(RequestWithdrawal(ANA, 0, EUR, units, 0, b"IBAN-1", b"w-%d" % units))
    return exchange.machine.sequence


def test_a_state_of_the_oldest_rules_has_the_bytes_that_it_had_before_rules_had_versions() -> None:
    """Version 4 of snapshots knows nothing of rules: what the engine of that time wrote, this one writes and reads."""
    machine = machine_with_a_withdrawal()
    told_so = machine_with_a_withdrawal()
    applied(told_so, set_to(1))
    assert version_of(snapshot_bytes(machine)) == version_of(snapshot_bytes(told_so)) == VERSION
    assert restore(snapshot_bytes(machine)).rules.version == 1


def test_a_snapshot_and_the_state_hash_say_which_rules_are_in_force() -> None:
    machine = machine_with_a_withdrawal()
    applied(machine, set_to(2))
    data, hash_before = snapshot_bytes(machine), state_hash(machine)
    assert version_of(data) == VERSION_WITH_RULES
    restored = restore(data)
    assert restored.rules.version == 2
    assert (snapshot_bytes(restored), state_hash(restored)) == (data, hash_before)
    assert_sound(restored)
    decide = encode_command(DecideWithdrawal(0, NOW_NS, WITHDRAWAL, APPROVE))
    assert machine.apply(NOW_NS, decide) == restored.apply(NOW_NS, decide)
    other = machine_with_a_withdrawal()
    applied(other, set_to(2))
    other.rules.version = 1
    assert state_hash(other) != hash_before


def test_a_snapshot_of_newer_rules_is_not_taken_over() -> None:
    machine = machine_with_a_withdrawal()
    applied(machine, set_to(2))
    with pytest.raises(RulesNotKnown, match="version 2 of the rules is in force, and this build knows rules up to 1"):
        restore(snapshot_bytes(machine), newest_rules_version=1)


def test_one_state_has_one_snapshot() -> None:
    """The oldest rules are not written down, so a snapshot that says them is no snapshot."""
    machine = machine_with_a_withdrawal()
    applied(machine, set_to(2))
    data = snapshot_bytes(machine)
    machine.rules.version = 1
    place = len(sections_of(machine))  # where the rules stand in the other one
    assert data[place : place + 4] == (2).to_bytes(4, "little")
    forged = bytearray(data)
    forged[place] = 1
    with pytest.raises(SnapshotError, match="says that version 1 of the rules"):
        restore(bytes(forged))
