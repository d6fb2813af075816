"""A replica keeps what it applies, and a restored one goes on as if it had never stopped."""

from pathlib import Path

from engine.invariants import assert_sound
from engine.snapshot import snapshot_bytes, state_hash
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
