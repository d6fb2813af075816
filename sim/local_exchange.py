"""A whole exchange of real processes for tests and benchmarks: started by ``tally up``, broken on purpose, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from replication.local_cluster import LOOPBACK, NODE_IDS, free_port
from sim.client import Client, ClientError, Credentials

TALLY: Final = Path(__file__).resolve().parent.parent / "tally.py"
READY_WITHIN_S: Final = 30.0
STOPPED_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.02


class LocalExchange:
    """Three replicas of each market group and a gateway in ``directory``, on a free port. Use as a context manager.

    With ``history`` there are a projector and a query server as well; with ``kafka``, a broker's host:port, exporters
    and an ingress.
    """

    def __init__(self, directory: Path, *, groups: int = 1, history: bool = False, kafka: str = "") -> None:
        self.directory = directory
        self._options = (*(() if history else ("--no-history",)), *(("--kafka", kafka) if kafka else ()))
        self._groups = groups
        self.url = f"http://{LOOPBACK}:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()

    def start(self) -> float:
        """Start, or start again where it was. Answers how long it took to be ready, in seconds."""
        started_s = time.monotonic()
        port = self.url.rpartition(":")[2]
        self._process = subprocess.Popen(
            [
                *(sys.executable, str(TALLY), "up", "--data", str(self.directory)),
                *("--port", port, "--groups", str(self._groups), *self._options),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return time.monotonic() - started_s

    def stop(self) -> int:
        """Stop as Ctrl-C does. Answers the exit code."""
        assert self._process is not None, "not started"
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        return self._process.wait(STOPPED_WITHIN_S)

    def wait_ready(self) -> None:
        """Until /readyz says so. AssertionError with the end of the logs if it never does."""
        client, deadline_s = Client(self.url, timeout_s=2.0), time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline_s:
            try:
                if client.request("GET", "/readyz").status == 200:
                    return
            except ClientError:
                pass
            time.sleep(_POLL_S)
        raise AssertionError(f"not ready after {READY_WITHIN_S} s:\n{self.log_ends()}")

    def operator(self, timeout_s: float = 15.0) -> Client:
        return Client(self.url, Credentials.load(self.directory, {}), timeout_s)

    def client(self, key_id: str, secret: str, timeout_s: float = 15.0) -> Client:
        return Client(self.url, Credentials(key_id, secret), timeout_s)

    def replicas(self) -> list[dict[str, Any]]:
        """What each replica says of itself, its state hash included."""
        found: list[dict[str, Any]] = self.operator().request("GET", "/v1/admin/replicas").expect().body["replicas"]
        return found

    def agreed_replicas(self, within_s: float = 20.0) -> list[dict[str, Any]]:
        """All replicas, once all are reachable and stand at the same sequence."""
        deadline_s = time.monotonic() + within_s
        while True:
            found = self.replicas()
            reachable = len(found) == len(NODE_IDS) and all(replica["reachable"] for replica in found)
            if reachable and len({replica["sequence"] for replica in found}) == 1:
                return found
            assert time.monotonic() < deadline_s, f"the replicas did not meet: {found}"
            time.sleep(0.1)

    def leader(self) -> str:
        """The node id of the replica that serves."""
        return next(str(replica["node"]) for replica in self.replicas() if replica["serving"])

    def pid(self, name: str) -> int:
        """The process of a replica or of the gateway."""
        return int((self.directory / "run" / f"{name}.pid").read_text())

    def is_running(self, name: str) -> bool:
        """Whether the process is there at this moment; the supervisor may be about to start it."""
        try:
            os.kill(self.pid(name), 0)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return False
        return True

    def kill(self, *names: str) -> None:
        """SIGKILL at once; the supervisor starts them again."""
        pids = [self.pid(name) for name in names]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def log_ends(self, lines: int = 12) -> str:
        """The last lines of every log."""
        parts = []
        for path in sorted((self.directory / "logs").glob("*.log")):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            parts.append("\n".join([f"--- {path.name}", *tail]))
        return "\n".join(parts)
