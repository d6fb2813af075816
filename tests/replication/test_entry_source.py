"""Whoever reads history over the doors gets every entry once, verified, whatever becomes of single replicas."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.codec import encode_command
from engine.entry import GENESIS_CHAIN, Entry
from replication.archive import Archive, list_segments, read_segment, read_segment_header
from replication.archive_reader import ArchiveReader
from replication.blocking_door import BlockingDoor, DoorUnreachable
from replication.config import node_data_dir
from replication.entry_source import DoorsUnreachable, EntryMissing, EntrySource, HistoryDiffers
from replication.identity import GATEWAY, READER
from replication.local_cluster import GATEWAY_NAME, NODE_IDS, READER_NAME
from replication.market_groups import group_id
from replication.protocol import encode_submit
from replication.tls import load_credentials
from tests.replication.nodes_in_process import NodesInProcess
from tests.replication.recorded_history import history
from tests.replication.test_node import open_exchange, order


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NodesInProcess]:
    nodes = NodesInProcess(tmp_path / "cluster")
    yield nodes
    nodes.close()


@contextmanager
def ticking(cluster: NodesInProcess) -> Iterator[None]:
    """Have a thread tick the nodes, for who blocks."""
    stopped = threading.Event()

    def run() -> None:
        while not stopped.is_set():
            for node in list(cluster.nodes.values()):
                node.tick(0.001)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def place_orders(cluster: NodesInProcess, count: int) -> int:
    """Answers the sequence that all replicas stand at then."""
    leader, link = open_exchange(cluster)
    for number in range(1, count):
        link.submit(order(number))
    sequence = cluster.nodes[leader].replica.machine.sequence
    cluster.tick_until(lambda: all(node.replica.machine.sequence == sequence for node in cluster.nodes.values()))
    return sequence


def archived(cluster: NodesInProcess, node_id: str) -> list[Entry]:
    archive = node_data_dir(cluster.config, node_id) / "archive"
    return [entry for s in list_segments(archive) for entry, _ in read_segment(s, read_segment_header(s))]


def source_of(cluster: NodesInProcess, *node_ids: str, sequence: int = 0, chain: bytes = GENESIS_CHAIN) -> EntrySource:
    return EntrySource(
        [(node_id, *cluster.config.nodes[node_id].door) for node_id in node_ids or NODE_IDS],
        group_id=group_id(cluster.config),
        credentials=load_credentials(cluster.config, READER, READER_NAME),
        sequence=sequence,
        chain=chain,
    )


def flip_bit_at_end(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


# The question


@pytest.mark.parametrize("window_bytes", [300, 2_000, 1 << 20])
def test_every_place_of_a_history_is_found(tmp_path: Path, window_bytes: int) -> None:
    """Entries that are larger than a window come in pieces."""
    _, entries = history(40)
    archive = Archive(tmp_path, segment_bytes_max=3_000)
    archive.open(0, GENESIS_CHAIN)
    for entry in entries:
        archive.append(entry)
    archive.flush()
    last = entries[-1].last_sequence
    for position, entry in enumerate(entries):
        before = entries[position - 1] if position else None
        reader = ArchiveReader(tmp_path, window_bytes=window_bytes)
        after = before.last_sequence if before else 0
        found = reader.encoded_after(after, last)
        while not (found.entries or found.piece):
            assert found.more
            found = reader.encoded_after(after, last)
        assert found.chain_before == (before.chain if before else GENESIS_CHAIN)
        body = found.entries[0] if found.entries else found.piece
        assert body.startswith(entry.header)
        if found.piece:
            while len(body) < found.entry_bytes:
                body += reader.encoded_after(after, last, len(body)).piece
        assert body.endswith(entry.chain)


def test_a_reader_may_ask_for_history_and_for_nothing_else(cluster: NodesInProcess) -> None:
    leader, _ = open_exchange(cluster)
    link = cluster.link(leader, load_credentials(cluster.config, READER, READER_NAME))
    assert link.ask("entries", after_sequence=0).error == ""
    assert link.ask("status").error == ""
    for name in ("balances", "members", "state_hash"):
        assert "a reader's certificate may ask for entries and status" in link.ask(name).error
    before = cluster.nodes[leader].replica.machine.sequence
    link.socket.send(encode_submit([(9, encode_command(order(1)))]))
    cluster.tick_until(lambda: bool(link.closed_because or link.results))
    assert not link.results
    assert cluster.nodes[leader].replica.machine.sequence == before


def test_every_replica_answers_and_names_what_it_lacks(cluster: NodesInProcess) -> None:
    sequence = place_orders(cluster, 5)
    answers = [cluster.link(node_id).ask("entries", after_sequence=0).value for node_id in NODE_IDS]
    assert answers[0] == answers[1] == answers[2]
    assert (answers[0]["last_sequence"], answers[0]["more"], answers[0]["first_missing"]) == (sequence, False, None)
    for segment in list_segments(node_data_dir(cluster.config, "node-1") / "archive"):
        segment.path.unlink()
    told = cluster.link("node-1").ask("entries", after_sequence=0).value
    assert (told["entries"], told["first_missing"]) == ([], 1)


# The asking side


def test_it_reads_all_there_is_and_waits_for_more(cluster: NodesInProcess) -> None:
    first = place_orders(cluster, 5)
    with source_of(cluster) as source:
        with ticking(cluster):
            assert list(source) == archived(cluster, "node-1")
            assert (source.sequence, source.last_sequence) == (first, first)
            assert source.read(wait_s=0.05) == []
        cluster.link(cluster.leader()).submit(order(77))
        with ticking(cluster):
            (entry,) = source.read(wait_s=5.0)
            assert entry.first_sequence == first + 1


def test_it_goes_on_from_a_stored_position(cluster: NodesInProcess) -> None:
    place_orders(cluster, 5)
    entries = archived(cluster, "node-2")
    with source_of(cluster, sequence=entries[2].last_sequence, chain=entries[2].chain) as source, ticking(cluster):
        assert list(source) == entries[3:]


def test_an_entry_in_pieces_is_put_together(cluster: NodesInProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    place_orders(cluster, 5)
    for node in cluster.nodes.values():
        monkeypatch.setattr(node.replica._reader, "_window_bytes", 100)
    with source_of(cluster) as source, ticking(cluster):
        assert list(source) == archived(cluster, "node-1")


def test_it_turns_to_another_replica_when_one_is_gone(cluster: NodesInProcess) -> None:
    place_orders(cluster, 5)
    follower = next(node_id for node_id in NODE_IDS if node_id != cluster.leader())
    rest = [node_id for node_id in NODE_IDS if node_id != follower]
    with source_of(cluster, follower, *rest) as source:
        with ticking(cluster):
            assert source.read()
        cluster.stop(follower)
        cluster.link(cluster.leader()).submit(order(77))
        with ticking(cluster):
            assert source.read(wait_s=5.0)[-1].last_sequence == source.sequence


@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_it_turns_to_another_replica_when_an_archive_lacks_an_entry(cluster: NodesInProcess, how: str) -> None:
    place_orders(cluster, 5)
    for node in cluster.nodes.values():
        node.replica.flush_archive()
    (segment,) = list_segments(node_data_dir(cluster.config, "node-1") / "archive")
    if how == "gone":
        segment.path.unlink()
    else:
        flip_bit_at_end(segment.path)
    with source_of(cluster, "node-1", "node-2") as source, ticking(cluster):
        assert list(source) == archived(cluster, "node-2")


def test_what_nobody_has_is_named(cluster: NodesInProcess) -> None:
    sequence = place_orders(cluster, 5)
    for node_id in NODE_IDS:
        cluster.nodes[node_id].replica.flush_archive()
        (segment,) = list_segments(node_data_dir(cluster.config, node_id) / "archive")
        flip_bit_at_end(segment.path)
    with source_of(cluster) as source, ticking(cluster):
        with pytest.raises(EntryMissing, match=f"no replica that answers has sequence {sequence}: node-1") as raised:
            list(source)
        assert raised.value.sequence == sequence
        assert source.sequence == sequence - 1, "what was sound is read"


def test_another_history_is_refused(cluster: NodesInProcess) -> None:
    place_orders(cluster, 5)
    entries = archived(cluster, "node-1")
    with source_of(cluster, sequence=entries[2].last_sequence, chain=bytes(32)) as source, ticking(cluster):
        with pytest.raises(HistoryDiffers, match="another history after sequence") as raised:
            source.read()
        assert raised.value.sequence == entries[3].first_sequence


def test_a_position_inside_an_entry_is_refused(cluster: NodesInProcess) -> None:
    place_orders(cluster, 2)
    several = next(entry for entry in archived(cluster, "node-1") if entry.command_count > 1)
    source = source_of(cluster, sequence=several.first_sequence, chain=bytes(32))
    with source, ticking(cluster), pytest.raises(HistoryDiffers, match="in the middle of its entry"):
        source.read()


def test_one_that_is_behind_is_passed_over(cluster: NodesInProcess, tmp_path: Path) -> None:
    place_orders(cluster, 5)
    entries = archived(cluster, "node-2")
    cluster.stop("node-1")
    behind = node_data_dir(cluster.config, "node-1")
    shutil.rmtree(behind)
    behind.mkdir(mode=0o700)
    cluster.start("node-1")
    last = entries[-1]
    source = source_of(cluster, "node-1", "node-2", sequence=last.last_sequence, chain=last.chain)
    with source, ticking(cluster):
        assert source.read() == []
        assert source.last_sequence == last.last_sequence


def test_nobody_there_is_an_error_and_not_an_empty_history(cluster: NodesInProcess) -> None:
    for node_id in NODE_IDS:
        cluster.stop(node_id)
    with (
        source_of(cluster) as source,
        pytest.raises(DoorsUnreachable, match="no replica tells what follows sequence 0"),
    ):
        source.read(wait_s=0.1)


def test_a_gateway_s_certificate_may_read_too(cluster: NodesInProcess) -> None:
    place_orders(cluster, 2)
    credentials = load_credentials(cluster.config, GATEWAY, GATEWAY_NAME)
    with EntrySource.of_group(cluster.config, credentials) as source, ticking(cluster):
        assert list(source) == archived(cluster, "node-1")


def test_a_door_that_is_another_node_is_not_read(cluster: NodesInProcess) -> None:
    credentials = load_credentials(cluster.config, READER, READER_NAME)
    with ticking(cluster), pytest.raises(DoorUnreachable, match="node-3"):
        BlockingDoor("node-3", cluster.config.nodes["node-2"].door, group_id(cluster.config), credentials)
