"""The journal: what survives, what is refused, what is noticed."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from replication.journal import (
    Journal,
    JournalBelongsToAnother,
    JournalDamaged,
    JournalError,
    JournalLocked,
    JournalWriteFailed,
    SnapshotReference,
)
from replication.replica_process import exit_code
from tests.replication.odd_disks import FullDisk, NotingDisk, SilentDisk

CLUSTER = b"c" * 16
MIB = 1024 * 1024


def opened(path: Path, **settings: Any) -> Journal:
    return Journal(path, cluster_id=CLUSTER, node_id="node-1", sync=False, **settings)


def filled(path: Path, last: int) -> Journal:
    """A synced journal with entries 1 to `last` of term 2."""
    journal = opened(path)
    journal.setCurrentTerm(2, "node-1")
    for index in range(1, last + 1):
        journal.add(b"\0entry %d" % index, index, 2)
    journal.sync()
    return journal


def reopened(journal: Journal, path: Path) -> Journal:
    """What a new process finds after the old one was killed."""
    journal.close()
    return opened(path)


def test_everything_synced_is_there_after_a_restart(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", 50)
    journal.setRaftCommitIndex(40)
    journal.add(b"\0entry 51", 51, 2)
    journal.sync()
    journal = reopened(journal, tmp_path / "j")
    assert (journal.first, journal.last, len(journal)) == (1, 51, 51)
    assert journal[:] == [(b"\0entry %d" % index, index, 2) for index in range(1, 52)]
    assert (journal.getCurrentTerm(), journal.getVotedForNodeId(), journal.getRaftCommitIndex()) == (2, "node-1", 40)
    assert journal.durable_index == 51
    assert not journal.dirty
    journal.close()


def test_what_was_not_synced_is_gone_after_a_crash(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", 10)
    journal.add(b"\0lost", 11, 2)
    journal.setCurrentTerm(3, "node-2")
    journal.setRaftCommitIndex(10)
    journal = reopened(journal, tmp_path / "j")
    assert (journal.last, journal.getCurrentTerm(), journal.getVotedForNodeId()) == (10, 2, "node-1")
    assert journal.getRaftCommitIndex() == 1
    journal.close()


def test_a_new_journal_is_empty_and_forgets_no_vote(tmp_path: Path) -> None:
    journal = opened(tmp_path / "j")
    assert len(journal) == 0
    assert (journal.getCurrentTerm(), journal.getVotedForNodeId(), journal.getRaftCommitIndex()) == (0, None, 1)
    journal.add(b"\1", 1, 0)
    journal.setCurrentTerm(5, None)
    journal.sync()
    journal = reopened(journal, tmp_path / "j")
    assert (journal.getCurrentTerm(), journal.getVotedForNodeId()) == (5, None)
    journal.close()


def test_durable_index_follows_the_disk_and_truncation(tmp_path: Path) -> None:
    journal = filled(tmp_path, 10)
    assert journal.durable_index == 10
    journal.add(b"\0x", 11, 2)
    assert journal.durable_index == 10
    journal.truncate_from(8)
    assert (journal.durable_index, journal.last) == (7, 7)
    journal.add(b"\0y", 8, 3)
    assert journal.durable_index == 7
    journal.sync()
    assert journal.durable_index == 8
    journal.close()


def test_truncation_replaces_the_tail_on_disk(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", 10)
    journal.truncate_from(6)
    journal.add(b"\0other", 6, 3)
    journal.sync()
    journal = reopened(journal, tmp_path / "j")
    assert journal.last == 6
    assert journal.entry(6) == (b"\0other", 6, 3)
    assert journal.term_at(5) == 2
    journal.close()


def test_dirty_says_what_kind_of_change_there_is(tmp_path: Path) -> None:
    journal = filled(tmp_path, 3)
    assert (journal.dirty, journal.meta_dirty) == (False, False)
    journal.setRaftCommitIndex(3)
    assert not journal.dirty
    journal.add(b"\0x", 4, 2)
    assert (journal.dirty, journal.meta_dirty) == (True, False)
    journal.setCurrentTerm(3, None)
    assert (journal.dirty, journal.meta_dirty) == (True, True)
    journal.sync()
    assert (journal.dirty, journal.meta_dirty) == (False, False)
    journal.compact(SnapshotReference(3, 2), 2)
    assert (journal.dirty, journal.meta_dirty) == (True, True)
    journal.close()


def test_committed_entries_cannot_be_truncated(tmp_path: Path) -> None:
    journal = filled(tmp_path, 10)
    journal.setRaftCommitIndex(5)
    with pytest.raises(AssertionError, match="committed"):
        journal.truncate_from(5)
    journal.close()


def test_a_gap_or_a_backward_term_is_our_bug(tmp_path: Path) -> None:
    journal = filled(tmp_path, 3)
    with pytest.raises(AssertionError, match="does not follow"):
        journal.add(b"\0x", 5, 2)
    with pytest.raises(AssertionError, match="backwards"):
        journal.add(b"\0x", 4, 1)
    with pytest.raises(AssertionError, match="a second vote in term 2"):
        journal.setCurrentTerm(2, "node-2")
    with pytest.raises(AssertionError, match="term 1 after 2"):
        journal.setCurrentTerm(1, None)
    journal.close()


def test_compaction_forgets_the_beginning_and_keeps_the_tail(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", 2_000)
    journal.setRaftCommitIndex(2_000)
    journal.compact(SnapshotReference(1_900, 2), 1_800)
    journal.sync()
    journal = reopened(journal, tmp_path / "j")
    assert (journal.first, journal.last, journal.snapshot) == (1_800, 2_000, SnapshotReference(1_900, 2))
    for index in range(2_001, 2_011):  # the old keys go away little by little
        journal.add(b"\0x", index, 2)
        journal.sync()
    assert journal._environment.stat()["entries"] == 2  # the two tables
    with journal._environment.begin() as transaction:
        assert transaction.stat(journal._log)["entries"] == 211
    journal = reopened(journal, tmp_path / "j")
    assert (journal.first, journal.last) == (1_800, 2_010)
    journal.close()


def test_truncation_after_compaction(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", 2_000)
    journal.setRaftCommitIndex(1_950)
    journal.compact(SnapshotReference(1_900, 2), 1_899)
    journal.truncate_from(1_990)
    journal.add(b"\0other", 1_990, 3)
    journal.sync()
    journal = reopened(journal, tmp_path / "j")
    assert (journal.first, journal.last, journal.term_at(1_990)) == (1_899, 1_990, 3)
    journal.close()


@pytest.mark.parametrize("snapshot_index", [5, 10, 500])
def test_an_installed_snapshot_replaces_the_whole_log(tmp_path: Path, snapshot_index: int) -> None:
    journal = filled(tmp_path / "j", 10)
    journal.reset_to(SnapshotReference(snapshot_index, 7), b"\1", b"")
    assert journal.durable_index <= 0
    journal.add(b"\0next", snapshot_index + 1, 7)
    journal.sync()
    assert journal.durable_index == snapshot_index + 1
    journal = reopened(journal, tmp_path / "j")
    assert (journal.first, journal.last) == (snapshot_index, snapshot_index + 1)
    assert journal.term_at(snapshot_index) == 7
    assert journal.snapshot == SnapshotReference(snapshot_index, 7)
    assert journal.getRaftCommitIndex() == snapshot_index
    journal.close()


@pytest.mark.parametrize("position", ["term", "checksum", "command, first byte", "command, last byte"])
@pytest.mark.parametrize("index", [1, 7, 20])
def test_damage_to_any_part_of_an_entry_names_its_index(tmp_path: Path, index: int, position: str) -> None:
    marker = b"\0entry number %06d of the test" % index
    journal = opened(tmp_path / "j")
    for number in range(1, 21):
        journal.add(b"\0entry number %06d of the test" % number, number, 2)
    journal.sync()
    journal.close()
    data_file = tmp_path / "j" / "data.mdb"
    content = bytearray(data_file.read_bytes())
    offset = {"term": -9, "checksum": -1, "command, first byte": 0, "command, last byte": len(marker) - 1}[position]
    start = content.find(marker)
    assert start > 0
    while start >= 0:  # the entry may be there twice, in a page that is free now
        content[start + offset] ^= 0x10
        start = content.find(marker, start + 1)
    data_file.write_bytes(content)
    with pytest.raises(JournalDamaged, match=f"log index {index} is damaged: wrong checksum") as caught:
        opened(tmp_path / "j")
    assert caught.value.log_index == index


def test_a_missing_entry_is_named(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", 10)
    with journal._environment.begin(write=True) as transaction:
        transaction.delete((6).to_bytes(8, "big"), db=journal._log)
    journal.close()
    with pytest.raises(JournalDamaged, match="log index 6 is missing") as caught:
        opened(tmp_path / "j")
    assert caught.value.log_index == 6


def test_a_missing_end_of_what_was_committed_is_named(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", 10)
    journal.setRaftCommitIndex(10)
    journal.setCurrentTerm(3, None)
    journal.sync()
    with journal._environment.begin(write=True) as transaction:
        transaction.delete((10).to_bytes(8, "big"), db=journal._log)
    journal.close()
    with pytest.raises(JournalDamaged, match="log index 10 is missing, 10 was committed"):
        opened(tmp_path / "j")


def test_a_damaged_vote_is_never_taken_for_no_vote(tmp_path: Path) -> None:
    journal = filled(tmp_path / "j", 3)
    journal.setCurrentTerm(9, "candidate-with-a-name")
    journal.sync()
    journal.close()
    data_file = tmp_path / "j" / "data.mdb"
    content = data_file.read_bytes()
    data_file.write_bytes(content.replace(b"candidate-with-a-name", b"candidate-with-a-nama"))
    with pytest.raises(JournalDamaged, match="record of term and vote is damaged"):
        opened(tmp_path / "j")


@pytest.mark.parametrize("left_bytes", [0, 5_000, 8_192, 20_000])
def test_a_file_that_was_cut_short_is_noticed(tmp_path: Path, left_bytes: int) -> None:
    filled(tmp_path / "j", 500).close()
    os.truncate(tmp_path / "j" / "data.mdb", left_bytes)
    with pytest.raises(JournalDamaged):
        opened(tmp_path / "j")


def test_a_file_of_noise_is_noticed(tmp_path: Path) -> None:
    filled(tmp_path / "j", 10).close()
    (tmp_path / "j" / "data.mdb").write_bytes(os.urandom(100_000))
    with pytest.raises(JournalDamaged):
        opened(tmp_path / "j")


def test_the_journal_of_another_node_or_cluster_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "j", 3).close()
    with pytest.raises(JournalBelongsToAnother, match="node 'node-1' of cluster 6363"):
        Journal(tmp_path / "j", cluster_id=CLUSTER, node_id="node-2")
    with pytest.raises(JournalBelongsToAnother):
        Journal(tmp_path / "j", cluster_id=b"d" * 16, node_id="node-1")
    opened(tmp_path / "j").close()


def test_two_processes_on_one_directory_are_refused(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from replication.journal import Journal, JournalLocked\n"
        "try: Journal(pathlib.Path(sys.argv[1]), cluster_id=b'c' * 16, node_id='node-1')\n"
        "except JournalLocked as error: print(error)\n"
    )
    journal = opened(tmp_path / "j")
    with pytest.raises(JournalLocked, match="another process uses"):
        opened(tmp_path / "j")
    command = [sys.executable, "-c", program, str(tmp_path / "j")]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    assert "another process uses" in output
    journal.close()
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout == ""


def test_files_are_for_the_owner_only(tmp_path: Path) -> None:
    filled(tmp_path / "deep" / "j", 3).close()
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "deep" / "j").stat().st_mode) == 0o700
    files = sorted((tmp_path / "deep" / "j").iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert [file.name for file in files] == ["data.mdb", "lock.mdb", "process.lock"]


def test_the_map_grows_before_it_is_full(tmp_path: Path) -> None:
    journal = opened(tmp_path / "j", map_size_bytes=1 * MIB)
    for index in range(1, 61):
        journal.add(bytes([index]) * MIB, index, 1)
        if index % 3 == 0:
            journal.sync()
    journal = reopened(journal, tmp_path / "j")
    assert journal.last == 60
    assert journal.entry(60)[0] == bytes([60]) * MIB
    journal.close()


def test_a_full_map_is_a_clear_error_and_is_never_retried(tmp_path: Path) -> None:
    journal = opened(tmp_path / "j", map_size_bytes=20 * MIB, map_size_bytes_max=40 * MIB)
    journal.add(b"\1", 1, 0)
    journal.sync()
    for index in range(2, 62):
        journal.add(bytes(MIB), index, 1)
    with pytest.raises(JournalWriteFailed, match="snapshots do not keep up"):
        journal.sync()
    with pytest.raises(JournalWriteFailed, match="never repeated"):
        journal.sync()
    assert journal.durable_index == 1
    journal = reopened(journal, tmp_path / "j")
    assert journal.last == 1
    journal.close()


def test_a_killed_process_leaves_exactly_what_it_synced(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, os, signal\n"
        "from replication.journal import Journal\n"
        "journal = Journal(pathlib.Path(sys.argv[1]), cluster_id=b'c' * 16, node_id='node-1')\n"
        "for index in range(1, 31):\n"
        "    journal.add(b'x' * index, index, 1)\n"
        "    if index % 10 == 0: journal.sync()\n"
        "    if index == 25: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "j")]
    assert subprocess.run(command, check=False, timeout=30).returncode == -9
    journal = opened(tmp_path / "j")
    assert journal.last == 20
    journal.close()


def test_a_journal_whose_maker_was_killed_before_the_sync_of_its_name_is_made_durable(tmp_path: Path) -> None:
    opened(tmp_path / "j").close()
    disk = NotingDisk()
    opened(tmp_path / "j", disk=disk).close()
    assert "data.mdb" in disk.names_synced


def test_a_disk_that_does_not_answer_at_the_start_has_damaged_nothing(tmp_path: Path) -> None:
    """What is damaged is set aside, and with it a vote and a copy of the log."""
    filled(tmp_path / "j", 3).close()
    with pytest.raises(JournalError) as caught:
        opened(tmp_path / "j", disk=SilentDisk())
    assert not isinstance(caught.value, JournalDamaged)
    assert exit_code(caught.value) == 1


def test_a_full_disk_at_the_start_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(JournalError) as caught:
        opened(tmp_path / "j", disk=FullDisk())
    assert not isinstance(caught.value, JournalDamaged)
    assert exit_code(caught.value) == 1
