"""One replica of pysyncobj as it comes for ``tally bench log``: its own journal, transport and thread.

``python -m sim.bench_log_stock FOLDER OWN,OTHER,OTHER COMMANDS_PER_ENTRY IN_FLIGHT SECONDS``; the leader prints its
result as JSON. The journal is a file that pysyncobj writes and never forces to disk.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated

from sim.bench_log_clock import LoadClock

_IDLE_S = 0.05


class Stock(SyncObj):  # type: ignore[misc]  # pysyncobj has no types
    """A state machine that only counts."""

    def __init__(self, own: str, others: list[str], journal_file: Path) -> None:
        # Its default is to send ten times a second; without batches it sends at once, which is what it does best.
        conf = SyncObjConf(journalFile=str(journal_file), appendEntriesUseBatch=False)
        super().__init__(own, others, conf=conf)
        self.entries = 0

    @replicated  # type: ignore[untyped-decorator]
    def append(self, payload: bytes) -> None:
        self.entries += 1


class Measured:
    """Proposes while this replica leads. Callbacks run on pysyncobj's thread, under a lock of ours."""

    def __init__(self, stock: Stock, clock: LoadClock) -> None:
        self._stock = stock
        self._clock = clock
        self._lock = threading.Lock()

    def run(self) -> None:
        while True:
            with self._lock:
                if self._stock._isLeader() and self._stock.isReady():
                    self._propose()
                else:
                    self._clock.stop()
            time.sleep(_IDLE_S)

    def _propose(self) -> None:
        while self._clock.wants_more():
            proposed_s = self._clock.begin()
            self._stock.append(
                self._clock.payload, callback=lambda _result, failure, at=proposed_s: self._on_decided(failure, at)
            )

    def _on_decided(self, failure: int, proposed_s: float) -> None:
        with self._lock:
            result = self._clock.end(proposed_s, committed=failure == FAIL_REASON.SUCCESS)
            if result is not None:
                print(json.dumps(result), flush=True)
            elif self._stock._isLeader():
                self._propose()


def main(arguments: list[str]) -> None:
    folder, addresses, size, in_flight, seconds = arguments
    own, *others = addresses.split(",")
    stock = Stock(own, others, Path(folder, f"{own.rpartition(':')[2]}.journal"))
    Measured(stock, LoadClock(int(size), int(in_flight), float(seconds))).run()


if __name__ == "__main__":
    main(sys.argv[1:])
