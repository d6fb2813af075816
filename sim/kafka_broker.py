"""A real Apache Kafka broker on this machine for tests and benchmarks: started, killed, started again, stopped.

What starts it is ``deploy/kafka/broker``, which ``make kafka`` calls as well.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from replication.local_cluster import LOOPBACK, free_port

SCRIPT: Final = Path(__file__).resolve().parent.parent / "deploy" / "kafka" / "broker"
FETCH_TIMEOUT_S: Final = 120
READY_WITHIN_S: Final = 60.0
STOPPED_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.05


class KafkaUnavailable(Exception):
    """No broker can be started here. The text says what is missing and what to do."""


class KafkaBroker:
    """``directory`` keeps its data; the ports are free ones and stay the same. Use as a context manager."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._port = free_port()
        self._controller_port = free_port(avoid=str(self._port))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """What clients dial first, as ``host:port``."""
        return f"{LOOPBACK}:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start, or start again with what it had, and wait until it listens. KafkaUnavailable if it does not."""
        self.directory.mkdir(parents=True, exist_ok=True)
        log_file = self.directory / "broker.log"
        ports = ("--port", str(self._port), "--controller-port", str(self._controller_port))
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [str(SCRIPT), "run", *ports, "--data", str(self.directory)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline_s = time.monotonic() + READY_WITHIN_S
        while not _listens(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self.kill()
                raise KafkaUnavailable(f"the broker does not start:\n{log_file.read_text(errors='replace')[-2000:]}")
            time.sleep(_POLL_S)

    def kill(self) -> None:
        """SIGKILL: what it had not written is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it in order."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def install_jars() -> None:
    """Fetch the broker's jars unless they are there. KafkaUnavailable if that cannot be done, within a time limit."""
    if not SCRIPT.exists():
        raise KafkaUnavailable(f"{SCRIPT} is not there: run this from a clone of the repository")
    done = subprocess.run(
        [str(SCRIPT), "install"],
        env={**os.environ, "KAFKA_FETCH_TIMEOUT_S": str(FETCH_TIMEOUT_S)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise KafkaUnavailable((done.stderr.strip().splitlines() or ["deploy/kafka/broker install failed"])[-1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1.0).close()
    except OSError:
        return False
    return True
