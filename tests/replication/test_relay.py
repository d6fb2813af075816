"""What a relay begins, repeats and sets aside. That no unit is lost or made: test_relay_model."""

from __future__ import annotations

import pytest

from engine import rejects
from engine.codec import decode_command, encode_event
from engine.commands import NameGroup, ReceiveTransfer, SettleTransfer
from engine.events import CommandRejected, TransferReceived
from replication.halt import Halt
from replication.protocol import COMMITTED, FAILED, Result
from replication.relay import ANSWER_TIMEOUT_S, RETRY_PAUSE_S, STUCK_PAUSE_S, Relay
from tests.replication.two_groups import EUR, Group, TwoGroups


@pytest.fixture
def two() -> TwoGroups:
    return TwoGroups()


def answer(event: CommandRejected | TransferReceived) -> Result:
    return Result(0, COMMITTED, 1, 1, encode_event(event, 0))


def begun(group: Group) -> list[int]:
    """The transfers that the relay submitted since the last look."""
    taken, group.submitted = group.submitted, []
    return [transfer_id for transfer_id, _ in taken]


def test_a_transfer_is_begun_at_once_and_again_only_when_its_time_is_over(two: TwoGroups) -> None:
    source = two.groups[0]
    two.send(0)
    for _ in range(3):
        source.tick()
    (number,) = begun(source)
    source.now_s += ANSWER_TIMEOUT_S - 0.01
    source.tick()
    assert not begun(source)
    source.now_s += 0.01
    source.tick()
    assert begun(source) == [number]


def test_what_is_asked_is_the_same_at_every_try_but_for_the_time(two: TwoGroups) -> None:
    source = two.groups[0]
    two.send(0)
    source.tick()
    source.now_s += ANSWER_TIMEOUT_S
    source.tick()
    first, second = (decode_command(command)[0] for _, command in source.submitted)
    assert isinstance(first, ReceiveTransfer) and isinstance(second, ReceiveTransfer)
    assert first != second and first == second._replace(issued_at_ns=first.issued_at_ns)


@pytest.mark.parametrize("expired", [False, True])
def test_a_copy_that_certainly_did_nothing_is_sent_again_soon(two: TwoGroups, expired: bool) -> None:
    source = two.groups[0]
    two.send(0)
    source.tick()
    (number,) = begun(source)
    late = answer(CommandRejected(rejects.REQUEST_EXPIRED, 0))
    source.hear(number, late if expired else Result(0, FAILED, 0, 0, b""))
    source.now_s += RETRY_PAUSE_S
    source.tick()
    assert begun(source) == [number] and not source.relay.stuck


@pytest.mark.parametrize("reason", [rejects.ID_CONFLICT, rejects.WRONG_STATE, rejects.NOT_ALLOWED, rejects.MALFORMED])
def test_a_refusal_that_says_nothing_of_the_transfer_never_settles_it(
    two: TwoGroups, reason: int, caplog: pytest.LogCaptureFixture
) -> None:
    source = two.groups[0]
    two.send(0)
    source.tick()
    (number,) = begun(source)
    for _ in range(3):
        source.hear(number, answer(CommandRejected(reason, 0)))
    assert not source.proposed and list(source.relay.stuck) == [number]
    assert len(caplog.records) == 1 and rejects.reason_code(reason) in caplog.text
    source.now_s += STUCK_PAUSE_S - 0.01
    source.tick()
    assert not begun(source)
    source.now_s += 0.01
    source.tick()
    assert begun(source) == [number], "it is tried again: what was wrong may have been put right"
    two.heal()


def test_an_answer_about_another_transfer_settles_nothing(two: TwoGroups) -> None:
    source = two.groups[0]
    two.send(0)
    source.tick()
    (number,) = begun(source)
    for name, other in ((b"main", number + 1), (b"stones", number)):
        source.hear(number, answer(TransferReceived(other, 1, EUR, 5, 0, name, b"r1")))
    source.hear(number, Result(0, COMMITTED, 1, 1, b"no event"))
    assert not source.proposed
    source.hear(number, answer(TransferReceived(number, 1, EUR, 5, 0, b"main", b"r1")))
    (settle,) = (decode_command(command)[0] for command in source.proposed)
    assert isinstance(settle, SettleTransfer) and (settle.transfer_id, settle.refusal) == (number, 0)


def test_a_destination_that_is_not_configured_is_waited_for(two: TwoGroups) -> None:
    source = two.groups[0]
    two.send(0)
    destinations: dict[str, Group] = {}
    relay = Relay("main", destinations, source.proposed.append)
    relay.tick(source.machine, leading=True, now_s=0.0, now_ns=source.now_ns)
    assert "not configured" in next(iter(relay.stuck.values())) and not source.submitted
    destinations["metals"] = source
    relay.tick(source.machine, leading=True, now_s=STUCK_PAUSE_S, now_ns=source.now_ns)
    assert len(source.submitted) == 1


def test_whoever_does_not_lead_begins_nothing_and_forgets_what_was_under_way(two: TwoGroups) -> None:
    source = two.groups[0]
    two.send(0)
    source.tick()
    (number,) = begun(source)
    source.relay.tick(source.machine, leading=False, now_s=source.now_s, now_ns=source.now_ns)
    assert source.relay.is_idle
    source.hear(number, answer(TransferReceived(number, 1, EUR, 5, 0, b"main", b"r1")))
    assert not source.proposed, "the new leader settles it"
    source.tick()
    assert begun(source) == [number]


def test_the_data_of_another_group_halts_the_replica(two: TwoGroups) -> None:
    relay = Relay("stones", {}, lambda _: None)
    for leading in (False, True):
        with pytest.raises(Halt, match="the data is of group main, not of stones"):
            relay.tick(two.groups[0].machine, leading=leading, now_s=0.0, now_ns=0)


def test_a_group_is_named_before_anything_else_and_asked_for_it_once_in_a_while() -> None:
    group = Group("main")
    for now_s in (0.0, 0.1, ANSWER_TIMEOUT_S):
        group.now_s = now_s
        group.tick()
    named = [decode_command(command)[0] for command in group.proposed]
    assert len(named) == 2 and {one.name for one in named if isinstance(one, NameGroup)} == {b"main"}
