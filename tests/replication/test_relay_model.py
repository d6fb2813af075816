"""Whatever is lost, doubled or delayed between two groups, and whichever relay is killed when: no unit is lost or made.

Once exhaustively for one transfer (every fate of every message, a kill behind every step), once at random for many.
"""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import rejects
from engine.commands import CreateAccount, RequestWithdrawal
from engine.snapshot import restore, snapshot_bytes
from engine.types import AMOUNT_MAX, POSTED, TRADER, VOIDED
from replication.protocol import FAILED, UNKNOWN, Result
from replication.relay import ANSWER_TIMEOUT_S
from tests.replication.two_groups import ANA, BO, EUR, TIN, TwoGroups

FATES = ("arrives", "twice", "lost", "late")
ANSWERS = (*FATES, "unknown")


@pytest.mark.parametrize("account_id", [ANA, BO], ids=["credited", "refused"])
def test_one_transfer_with_every_fate_of_every_message_and_a_kill_behind_every_step(account_id: int) -> None:
    """What comes late comes when all is over, and when what was refused has become possible."""
    played = 0
    for command, answer, settlement in product(FATES, ANSWERS, FATES):
        for kills in product((False, True), repeat=3):
            play(account_id, command, answer, settlement, kills)
            played += 1
    assert played == 4 * 5 * 4 * 8


def play(account_id: int, command: str, answer: str, settlement: str, kills: tuple[bool, ...]) -> None:
    two = TwoGroups()
    source, destination = two.groups
    two.send(0, account_id)
    source.tick()
    late_commands = list(source.submitted) if command == "late" else []
    for message in source.submitted * _copies(command):
        two.deliver(0, message)
    if command == "lost":
        source.relay.on_lost([one for one, _ in source.submitted], source.now_s)
    source.submitted.clear()
    two.assert_every_unit_is_somewhere()
    _kill(two, kills[0])

    late_answers = list(source.answered) if answer == "late" else []
    if answer == "unknown":
        source.answered = [(one, Result(0, UNKNOWN, 0, 0, b"")) for one, _ in source.answered]
    for transfer_id, result in source.answered * (1 if answer == "unknown" else _copies(answer)):
        source.hear(transfer_id, result)
    source.answered.clear()
    _kill(two, kills[1])

    late_settlements = list(source.proposed) if settlement == "late" else []
    for settle in source.proposed * _copies(settlement):
        source.execute(settle)
    source.proposed.clear()
    two.assert_every_unit_is_somewhere()
    _kill(two, kills[2])

    two.heal()
    ended = list(source.machine.group_transfers.listed_sent(0, 0))
    assert [one.status for one in ended] == [POSTED if account_id == ANA else VOIDED]
    destination.run(CreateAccount(0, 0, TRADER, b"bo"))
    for message in late_commands:
        two.deliver(0, message)
    for transfer_id, result in late_answers:
        source.hear(transfer_id, result)
    for settle in late_settlements:
        source.execute(settle)
    two.heal()
    assert list(source.machine.group_transfers.listed_sent(0, 0)) == ended


def _copies(fate: str) -> int:
    return {"arrives": 1, "twice": 2}.get(fate, 0)


def _kill(two: TwoGroups, kill: bool) -> None:
    if kill:
        two.groups[0].restart_relay()
        two.groups[0].machine = restore(snapshot_bytes(two.groups[0].machine))


STEP = st.tuples(st.integers(0, 11), st.integers(0, 1), st.integers(0, 5))


def test_many_transfers_in_any_order() -> None:
    """Where it is ``full``, the second group has room for 9 more units of EUR only."""
    seen: Counter[tuple[int, int]] = Counter()

    @given(steps=st.lists(STEP, min_size=20, max_size=100), full=st.booleans())
    @settings(max_examples=100, deadline=None)
    def run(steps: list[tuple[int, int, int]], full: bool) -> None:
        two = TwoGroups()
        if full:
            two.deposit(1, ANA, EUR, AMOUNT_MAX - 1_009)
        for kind, side, choice in steps:
            step(two, kind, side, choice)
            two.assert_every_unit_is_somewhere()
        two.heal()
        for group in two.groups:
            seen.update((one.status, one.refusal) for one in group.machine.group_transfers.listed_sent(0, 0))

    run()
    refusals = (rejects.UNKNOWN_ACCOUNT, rejects.UNKNOWN_ASSET, rejects.SUPPLY_TOO_LARGE)
    wanted = {(POSTED, rejects.ACCEPTED), *((VOIDED, refusal) for refusal in refusals)}
    assert wanted <= seen.keys(), ("the random streams showed too little", seen)


def step(two: TwoGroups, kind: int, side: int, choice: int) -> None:
    """``choice`` says which of the messages, and whether it stays on its way to come again."""
    group = two.groups[side]
    if kind == 0:
        two.send(side, (ANA, ANA, BO)[choice % 3], (EUR, TIN)[choice // 3 % 2], 1 + choice)
    elif kind == 1:
        two.send(side, units=4 + choice)
    elif kind == 2:
        units = group.machine.ledger.available_units(ANA, EUR) // (1 + choice)
        group.run(RequestWithdrawal(ANA, 0, EUR, units, 5, b"", two.new_reference()))
    elif kind == 3:
        two.deposit(side, ANA, EUR, (1, 3, 7, AMOUNT_MAX // 2)[choice % 4])
    elif kind in (4, 5):
        group.now_s += (0.0, 0.2, ANSWER_TIMEOUT_S)[choice % 3]
        group.tick()
    elif kind == 6 and choice == 0:
        group.restart_relay()
        group.machine = restore(snapshot_bytes(group.machine))
    elif kind in (6, 7, 8) and group.submitted:
        message = group.submitted.pop(choice % len(group.submitted))
        if choice > 1:
            two.deliver(side, message)
        if choice in (1, 3):
            group.submitted.append(message)
        if choice == 0:
            group.hear(message[0], Result(0, FAILED, 0, 0, b""))
    elif kind in (9, 10) and group.answered:
        transfer_id, result = group.answered.pop(choice % len(group.answered))
        if choice:
            group.hear(transfer_id, result)
        if choice in (1, 3):
            group.answered.append((transfer_id, result))
    elif kind == 11 and group.proposed:
        command = group.proposed.pop(choice % len(group.proposed))
        if choice:
            group.execute(command)
        if choice in (1, 3):
            group.proposed.append(command)
