"""Three real nodes: whatever happens to an archive, its replica goes on and gets what is missing from the others."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.entry import Entry
from replication import archive_keeper, archive_mending, protocol
from replication.archive import (
    SEGMENT_HEADER_SIZE,
    ArchiveDamaged,
    ArchiveGap,
    Segment,
    list_segments,
    read_segment,
    read_segment_header,
)
from replication.archive_mending import MENDING_FOLDER
from replication.archive_salvage import DAMAGED_FOLDER
from replication.config import node_data_dir
from replication.history import read_history
from replication.local_cluster import NODE_IDS
from replication.replay import replay
from tests.replication.nodes_in_process import NodesInProcess
from tests.replication.test_node import open_exchange, order


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NodesInProcess]:
    monkeypatch.setattr(archive_keeper, "FIRST_ROUND_S", 0.1)
    monkeypatch.setattr(archive_keeper, "PAUSE_S", 0.05)
    nodes = NodesInProcess(tmp_path / "cluster")
    yield nodes
    nodes.close()


def archive_of(cluster: NodesInProcess, node_id: str) -> Path:
    return node_data_dir(cluster.config, node_id) / "archive"


def entries_of(cluster: NodesInProcess, node_id: str) -> list[Entry]:
    cluster.nodes[node_id].replica.flush_archive()
    return [found.entry for found in read_history([archive_of(cluster, node_id)])]


def trade_past_a_snapshot(cluster: NodesInProcess, orders: int = 240) -> str:
    """Answers who leads. A snapshot is due after 200 commands; all replicas stand at the same sequence."""
    open_exchange(cluster)
    for number in range(0, orders, 20):
        place(cluster, *(number + each for each in range(20)))
    cluster.tick_until(lambda: all(is_settled(cluster, node_id) for node_id in cluster.nodes))
    return cluster.leader()


def place(cluster: NodesInProcess, *numbers: int) -> None:
    """Have orders committed, whoever leads; the machine that runs the tests may be slow."""
    while True:
        leader = cluster.leader()
        link = next((link for link in cluster.links if link.node_id == leader and not link.closed_because), None)
        results = (link or cluster.link(leader)).submit(*(order(number) for number in numbers))
        if all(result.outcome == protocol.COMMITTED for result in results):
            return


def is_settled(cluster: NodesInProcess, node_id: str) -> bool:
    node = cluster.nodes[node_id]
    return (
        node.replica.machine.sequence == max(other.replica.machine.sequence for other in cluster.nodes.values())
        and node._details()["snapshot_sequence"] > 0
        and node._snapshot is None
    )


def flip(segment: Segment, position: int) -> None:
    data = bytearray(segment.path.read_bytes())
    data[position] ^= 0x10
    segment.path.write_bytes(data)


def damage(cluster: NodesInProcess, node_id: str, how: str) -> int:
    """Damage what is covered by the snapshot. Answers the first sequence that is not sound."""
    (segment,) = list_segments(archive_of(cluster, node_id))
    found = list(read_segment(segment, read_segment_header(segment)))
    entry = found[len(found) // 4].entry
    offset = found[len(found) // 4 - 1].end_offset
    if how == "flipped":
        flip(segment, offset + 60)
    elif how == "short":
        segment.path.write_bytes(segment.path.read_bytes()[:offset])
    elif how == "header":
        flip(segment, 3)
        return 1
    else:
        segment.path.unlink()
        return 1
    return entry.first_sequence


@pytest.mark.parametrize("how", ["flipped", "header", "gone"])
def test_a_node_starts_with_a_damaged_archive_and_mends_it(
    cluster: NodesInProcess, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    leader = trade_past_a_snapshot(cluster)
    node_id = next(name for name in NODE_IDS if name != leader)
    cluster.stop(node_id)
    segments = list_segments(archive_of(cluster, node_id))
    sequence = damage(cluster, node_id, how)
    is_set_aside = how in ("flipped", "header")
    if is_set_aside:
        with pytest.raises(ArchiveDamaged) as named:
            replay(node_data_dir(cluster.config, node_id))
        assert named.value.sequence == sequence
    cluster.start(node_id)
    if is_set_aside:
        assert f"the archive is damaged at sequence {sequence}" in caplog.text
    # It serves before its archive is whole.
    place(cluster, 1_000)
    cluster.tick_until(lambda: cluster.nodes[node_id].replica.machine.sequence >= 246)
    cluster.tick_until(
        lambda: (
            entries_are_whole(cluster, node_id)
            and cluster.nodes[node_id].status().archive_damaged_files == is_set_aside
        )
    )
    assert entries_of(cluster, node_id) == entries_of(cluster, leader)
    status = cluster.nodes[node_id].status()
    assert (status.archive_missing, status.archive_damaged_files) == (0, is_set_aside)
    if is_set_aside:
        (aside,) = (archive_of(cluster, node_id) / DAMAGED_FOLDER).iterdir()
        assert aside.name == f"{segments[0].path.name}.1"
    cluster.stop(node_id)
    replayed = replay(node_data_dir(cluster.config, node_id))
    assert (replayed.machine.sequence >= 246, replayed.snapshots_compared) == (True, 1)
    cluster.start(node_id)


def entries_are_whole(cluster: NodesInProcess, node_id: str) -> bool:
    try:
        entries = entries_of(cluster, node_id)
    except (ArchiveDamaged, ArchiveGap, FileNotFoundError):  # a child is just mending it
        return False
    node = cluster.nodes[node_id]
    return entries[-1].last_sequence == node.replica.machine.sequence and node._keeper._cancel is None


def scrub_now(cluster: NodesInProcess, node_id: str) -> None:
    keeper = cluster.nodes[node_id]._keeper
    keeper._due_s = keeper._scrub_due_s = 0.0


def test_all_three_start_with_damage_at_three_places_and_mend_each_other(cluster: NodesInProcess) -> None:
    trade_past_a_snapshot(cluster)
    expected = entries_of(cluster, "node-1")
    for number, node_id in enumerate(NODE_IDS):
        cluster.stop(node_id)
        (segment,) = list_segments(archive_of(cluster, node_id))
        found = list(read_segment(segment, read_segment_header(segment)))
        flip(segment, found[1 + 3 * number].end_offset + 60)  # an entry may be larger than one would think
    for node_id in NODE_IDS:
        cluster.start(node_id)
    cluster.leader()
    last_sequence = expected[-1].last_sequence
    cluster.tick_until(lambda: all(node.replica.machine.sequence >= last_sequence for node in cluster.nodes.values()))
    cluster.tick_until(lambda: all(entries_are_whole(cluster, node_id) for node_id in NODE_IDS))
    for node_id in NODE_IDS:
        assert entries_of(cluster, node_id)[: len(expected)] == expected
        assert replay(node_data_dir(cluster.config, node_id)).machine.sequence >= expected[-1].last_sequence


def test_rot_in_an_old_segment_is_found_by_the_scrub(cluster: NodesInProcess) -> None:
    leader = trade_past_a_snapshot(cluster)
    node_id = next(name for name in NODE_IDS if name != leader)
    cluster.nodes[node_id].replica.end_segment()
    place(cluster, 1_000)
    flip(list_segments(archive_of(cluster, node_id))[0], 5_000)
    scrub_now(cluster, node_id)
    cluster.tick_until(lambda: entries_are_whole(cluster, node_id))
    assert entries_of(cluster, node_id) == entries_of(cluster, leader)
    assert cluster.nodes[node_id].status().archive_damaged_files == 1


@pytest.mark.parametrize("who", ["reader", "scrub"])
def test_damage_in_the_newest_segment_is_mended_too(cluster: NodesInProcess, who: str) -> None:
    leader = trade_past_a_snapshot(cluster)
    node_id = next(name for name in NODE_IDS if name != leader)
    cluster.nodes[node_id].replica.flush_archive()
    (segment,) = list_segments(archive_of(cluster, node_id))
    flip(segment, SEGMENT_HEADER_SIZE)  # the length of the first entry
    if who == "reader":
        assert "wrong checksum" in cluster.link(node_id).ask("entries", after_sequence=0).error
    else:
        cluster.nodes[node_id]._keeper._scrub_from = 1
        scrub_now(cluster, node_id)
    cluster.tick_until(lambda: entries_are_whole(cluster, node_id))
    assert entries_of(cluster, node_id) == entries_of(cluster, leader)
    assert cluster.link(node_id).ask("entries", after_sequence=0).error == ""


def test_what_came_as_a_snapshot_is_fetched_as_entries(
    cluster: NodesInProcess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    leader = trade_past_a_snapshot(cluster, orders=480)
    node_id = next(name for name in NODE_IDS if name != leader)
    cluster.stop(node_id)
    for path in sorted(node_data_dir(cluster.config, node_id).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    cluster.start(node_id)
    cluster.tick_until(lambda: is_settled(cluster, node_id) and entries_are_whole(cluster, node_id))
    assert re.search(r"the archive has sequences 1 to \d{3}, from the other replicas", caplog.text)
    assert entries_of(cluster, node_id) == entries_of(cluster, leader)


def test_a_gap_that_nobody_can_fill_is_told_and_stops_nothing(
    cluster: NodesInProcess, caplog: pytest.LogCaptureFixture
) -> None:
    leader = trade_past_a_snapshot(cluster)
    for node_id in NODE_IDS:
        cluster.stop(node_id)
        damage(cluster, node_id, "short")
    for node_id in NODE_IDS:
        cluster.start(node_id)
    cluster.leader()
    cluster.tick_until(lambda: all(node.status().archive_missing for node in cluster.nodes.values()))
    assert "commands are missing in the archive: no replica that answers has sequence" in caplog.text
    status = cluster.link(leader).ask("status").value["archive"]
    ((first, last),) = status["holes"]
    assert status["missing"] == last - first + 1
    assert f"no replica that answers has sequence {first}" in status["problem"]
    place(cluster, 1_000)


def test_a_node_that_is_stopped_in_the_middle_of_mending_goes_on_with_it(
    cluster: NodesInProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader = trade_past_a_snapshot(cluster)
    node_id = next(name for name in NODE_IDS if name != leader)
    cluster.stop(node_id)
    damage(cluster, node_id, "gone")
    for node in cluster.nodes.values():
        node.replica._reader._window_bytes = 5_000  # so that it takes many questions
    monkeypatch.setattr(archive_mending, "PAUSE_PER_READ_S", 0.2)
    cluster.start(node_id)
    fetched = archive_of(cluster, node_id) / MENDING_FOLDER / "1"
    cluster.tick_until(lambda: any(segment.path.stat().st_size > 1_000 for segment in list_segments(fetched)))
    child = cluster.nodes[node_id]._keeper._cancel
    assert child is not None
    cluster.stop(node_id)  # and with it its child, at once
    assert list_segments(fetched)
    monkeypatch.setattr(archive_mending, "PAUSE_PER_READ_S", 0.0)
    cluster.start(node_id)
    cluster.tick_until(lambda: entries_are_whole(cluster, node_id))
    assert entries_of(cluster, node_id) == entries_of(cluster, leader)
    assert not fetched.exists()
