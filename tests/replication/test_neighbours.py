"""Two groups of three real nodes each, on real sockets: names, transfers there and back, leaders that go away."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.commands import CreateAccount, CreateAsset, Deposit, SendTransfer
from engine.events import SentTransferChanged
from engine.types import POSTED, TRADER
from replication import protocol
from replication.config import load_config
from replication.config_edit import add_group
from replication.halt import Halt
from replication.local_cluster import loopback_addresses
from replication.market_groups import of_group
from replication.node import Node
from tests.replication.nodes_in_process import NodesInProcess, events_of, make_cluster

UNITS = 1_000


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[NodesInProcess, NodesInProcess]]:
    config = make_cluster(tmp_path / "cluster", groups=2)
    main = NodesInProcess(tmp_path, config)
    other = NodesInProcess(tmp_path, of_group(config, "group-2"))
    main.others.append(other)
    other.others.append(main)
    yield main, other
    main.close()
    other.close()


def open_accounts(nodes: NodesInProcess) -> None:
    now_ns = time.time_ns()
    setup = (CreateAsset(0, now_ns, 0, b"EUR"), CreateAccount(0, now_ns, TRADER, b"ana"))
    funds = Deposit(0, now_ns, 1, 1, UNITS, 0, b"dep")
    assert {one.outcome for one in nodes.link(nodes.leader()).submit(*setup, funds)} == {protocol.COMMITTED}


def name_of(nodes: NodesInProcess) -> bytes:
    return next(iter(nodes.nodes.values())).replica.machine.group_transfers.name


def send(nodes: NodesInProcess, to: bytes, reference: bytes, units: int = 10) -> None:
    command = SendTransfer(1, time.time_ns(), 1, units, 0, to, reference)
    (result,) = nodes.link(nodes.leader()).submit(command)
    assert isinstance(events_of(result)[0], SentTransferChanged)


def statuses(nodes: NodesInProcess) -> list[set[int]]:
    """What each replica knows of what was sent."""
    desks = [node.replica.machine.group_transfers for node in nodes.nodes.values()]
    return [{one.status for one in desk.listed_sent(0, 0)} for desk in desks]


def euros(nodes: NodesInProcess) -> set[int]:
    return {node.replica.machine.ledger.available_units(1, 1) for node in nodes.nodes.values()}


def test_transfers_go_there_and_back_and_survive_both_leaders(pair: tuple[NodesInProcess, NodesInProcess]) -> None:
    main, other = pair
    for nodes in pair:
        open_accounts(nodes)
    main.tick_until(lambda: name_of(main) == b"main" and name_of(other) == b"group-2")
    send(main, b"group-2", b"there-1")
    main.tick_until(lambda: statuses(main) == [{POSTED}] * 3)
    send(other, b"main", b"back-1", units=3)
    other.tick_until(lambda: statuses(other) == [{POSTED}] * 3)

    other_leader, main_leader = other.leader(), main.leader()
    other.stop(other_leader)
    send(main, b"group-2", b"there-2")
    main.stop(main_leader)  # with the transfer under way
    main.tick_until(lambda: statuses(main) == [{POSTED}] * 2)
    main.start(main_leader)
    other.start(other_leader)
    main.tick_until(lambda: euros(main) == {UNITS - 17} and euros(other) == {UNITS + 17})


def test_a_replica_with_the_data_of_another_group_halts(pair: tuple[NodesInProcess, NodesInProcess]) -> None:
    """As after a group was renamed in the file: what it sends would be credited a second time."""
    main, _ = pair
    main.tick_until(lambda: all(node.replica.machine.group_transfers.name for node in main.nodes.values()))
    main.stop("node-1")
    text = main.config.path.read_text().replace('group = "main"', 'group = "renamed"')
    main.config.path.write_text(text)
    main.nodes["node-1"] = Node(load_config(main.config.path), "node-1")
    with pytest.raises(Halt, match="the data is of group main, not of renamed"):
        main.tick_until(lambda: False)


def test_the_lead_goes_to_the_node_whose_turn_it_is_and_comes_back_after_its_death(tmp_path: Path) -> None:
    config = make_cluster(tmp_path / "cluster", groups=2)
    group = NodesInProcess(tmp_path, of_group(config, "group-2"), hurry=20)
    try:
        group.tick_until(lambda: group.nodes["node-2"].status().serving)
        open_accounts(group)
        group.stop("node-2")
        assert group.leader() in ("node-1", "node-3")
        for number in range(20):
            send_refused = SendTransfer(1, time.time_ns(), 1, 1, 0, b"main", b"late-%d" % number)
            group.link(group.leader()).submit(send_refused)
        group.start("node-2")
        group.tick_until(lambda: group.nodes["node-2"].status().serving)
        term = group.nodes["node-2"].status().term
        rounds = iter(range(300))
        group.tick_until(lambda: next(rounds, None) is None)
        assert group.nodes["node-2"].status().term == term, "there it stays"
    finally:
        group.close()


def test_a_group_that_is_added_while_others_run_can_be_sent_to(tmp_path: Path) -> None:
    config = make_cluster(tmp_path / "cluster")
    main = NodesInProcess(tmp_path, config)
    open_accounts(main)
    send_refused = SendTransfer(1, time.time_ns(), 1, 1, 0, b"metals", b"too-early")
    (result,) = main.link(main.leader()).submit(send_refused)
    assert not isinstance(events_of(result)[0], SentTransferChanged), "a group alone has no name to send from"

    changed = add_group(config.path, "metals", loopback_addresses(config.path, config.nodes))
    metals = NodesInProcess(tmp_path, of_group(changed, "metals"))
    main.others.append(metals)
    metals.others.append(main)
    try:
        open_accounts(metals)
        main.tick_until(lambda: name_of(main) == b"main" and name_of(metals) == b"metals")
        send(main, b"metals", b"there-1")
        main.tick_until(lambda: statuses(main) == [{POSTED}] * 3 and euros(metals) == {UNITS + 10})
    finally:
        main.close()
        metals.close()
