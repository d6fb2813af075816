"""A replica keeps what it applies, and a restored one goes on as if it had never stopped."""

from pathlib import Path

import pytest

from engine.invariants import assert_sound
from engine.machine import Machine
from engine.snapshot import restore, snapshot_bytes, state_hash
from replication.agreement import CHECKPOINT_EVERY_ENTRIES
from replication.reads import answer
from replication.replica import Replica
from replication.snapshots import describe
from tests.replication.recorded_history import payloads


def apply_all(replica: Replica, entries: list[bytes], first_index: int = 2) -> None:
    for log_index, payload in enumerate(entries, start=first_index):
        replica.apply(log_index, 1, payload)


def test_a_restored_replica_continues_with_the_same_state_archive_and_trades(tmp_path: Path) -> None:
    entries = payloads(60)
    live, stopped = Replica(tmp_path / "live"), Replica(tmp_path / "stopped")
    apply_all(live, entries)
    apply_all(stopped, entries[:25])
    blob = snapshot_bytes(stopped.machine)
    meta = describe(stopped.log_point, blob)
    apply_all(stopped, entries[25:40], first_index=27)
    stopped.close()

    restored = Replica(tmp_path / "stopped")
    restored.restore(meta, blob)
    apply_all(restored, entries[25:], first_index=27)

    assert state_hash(restored.machine) == state_hash(live.machine)
    assert restored.log_point == live.log_point
    assert live.trades(1, 1_000) == restored.trades(1, 1_000) != []
    assert_sound(restored.machine)
    for replica in (live, restored):
        replica.close()
    live_files = sorted((tmp_path / "live").iterdir())
    assert [path.read_bytes() for path in live_files] == [
        path.read_bytes() for path in sorted((tmp_path / "stopped").iterdir())
    ]


def test_every_replica_hashes_ids_with_a_secret_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after it has taken over a snapshot. Else clients could choose ids that make every request slow."""
    keys: list[int] = []

    def make(hash_key: int, **settings: int) -> Machine:
        keys.append(hash_key)
        return Machine(hash_key, **settings)

    def make_again(data: bytes, hash_key: int, **settings: int) -> Machine:
        keys.append(hash_key)
        return restore(data, hash_key=hash_key, **settings)

    monkeypatch.setattr("replication.replica.Machine", make)
    monkeypatch.setattr("replication.replica.restore", make_again)
    replicas = [Replica(tmp_path / str(number)) for number in range(3)]
    apply_all(replicas[0], payloads(5))
    blob = snapshot_bytes(replicas[0].machine)
    replicas[0].restore(describe(replicas[0].log_point, blob), blob)
    assert len(keys) == 4
    assert len(set(keys)) == 3 and keys[3] == keys[0]
    assert all(0 <= key < 1 << 64 for key in keys) and max(keys) >= 1 << 48
    replicas[0].close()


def test_memory_is_ready_for_so_many_requests_before_and_after_a_snapshot(tmp_path: Path) -> None:
    entries = payloads(30)
    plain, ready = Replica(tmp_path / "plain"), Replica(tmp_path / "ready")
    ready.reserve(20_000)
    assert ready.machine.receipts.arena.segment_count() > plain.machine.receipts.arena.segment_count()
    apply_all(plain, entries[:20])
    apply_all(ready, entries[:20])
    blob = snapshot_bytes(ready.machine)
    meta = describe(ready.log_point, blob)
    assert blob == snapshot_bytes(plain.machine)
    ready.restore(meta, blob)
    assert ready.machine.receipts.arena.segment_count() > plain.machine.receipts.arena.segment_count()
    apply_all(plain, entries[20:], first_index=22)
    apply_all(ready, entries[20:], first_index=22)
    assert state_hash(ready.machine) == state_hash(plain.machine)
    plain.close()
    ready.close()


def test_trades_are_listed_newest_first(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    apply_all(replica, payloads(30))
    trades = replica.trades(1, 5)
    assert [trade.trade_id for trade in trades] == list(
        range(replica.machine.trading.index.last_trade_id, replica.machine.trading.index.last_trade_id - 5, -1)
    )
    assert replica.trades(2, 5) == []
    replica.close()


def test_checkpoints_are_taken_at_fixed_places_of_the_log(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    apply_all(replica, payloads(CHECKPOINT_EVERY_ENTRIES + 5))
    assert replica.checkpoint is not None
    log_index, checkpoint = replica.checkpoint
    assert log_index == CHECKPOINT_EVERY_ENTRIES
    assert checkpoint.sequence < replica.machine.sequence
    replica.close()


def test_questions_name_the_sequence_they_reflect(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    apply_all(replica, payloads(10))
    book = answer(replica, "book", {"market_id": 1, "depth": 3})
    assert book.sequence == replica.machine.sequence
    assert book.value["bids"]
    assert answer(replica, "balances", {"account_id": 1}).value[0]["asset"] == "EUR"
    assert answer(replica, "account_by_name", {"name": "ana"}).value["account_id"] == 1
    assert answer(replica, "order", {"account_id": 1, "order_id": 0, "client_order_id": "b3"}).value["side"] == 0
    assert answer(replica, "order", {"account_id": 2, "order_id": 0, "client_order_id": "b3"}).value is None
    assert answer(replica, "trades", {"market_id": 1, "limit": 2}).value[0]["trade_id"] > 0
    replica.close()


def test_unknown_questions_and_wrong_arguments_get_an_error_and_no_value(tmp_path: Path) -> None:
    replica = Replica(tmp_path)
    assert "no question" in answer(replica, "rates", {}).error
    assert "wrong arguments" in answer(replica, "book", {"market": 1}).error
