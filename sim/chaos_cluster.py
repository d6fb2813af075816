"""The cluster that ``tally chaos`` breaks: three replicas and a gateway, each a process that is ended by its name.

It is made by the code of ``tally up``. Then the replicas are told to dial each other through the proxy, and nothing
starts again by itself: when what was broken comes back is part of the schedule. Only a process that ends although
nothing was done to it is started again at once, as a service manager would, unless it halted
(:data:`replication.supervisor.EXIT_HALTED`): it would do it again.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

from replication.config import Config, load_config
from replication.local_cluster import LOOPBACK, NODE_IDS, LocalCluster, free_port
from replication.supervisor import EXIT_HALTED, die_with
from sim.chaos_proxy import ChaosProxy
from sim.client import ClientError
from sim.local_exchange import TALLY, LocalExchange

GATEWAY: Final = "gateway"
RECOVERED_WITHIN_S: Final = 60.0
_ENDED_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.05
_LAG_MAX: Final = 200  # commands that a replica may be behind while orders flow
_CLUSTER_SETTINGS: Final = """
[log]
snapshot_every_commands = 2000
keep_tail_entries = 200

[engine]
reserve_requests = 0

[gateway]
request_timeout_ms = 3000
"""


class NotRecovered(Exception):
    """Everything was healed, and the cluster did not come back."""


class ChaosCluster(LocalExchange):
    """Use as a context manager, in the main thread. ``restarts`` tells what ended although nobody asked for it."""

    def __init__(self, directory: Path, seed: int) -> None:
        super().__init__(directory)
        self.proxy: ChaosProxy
        self.config: Config
        self.restarts: list[str] = []
        self._seed = seed
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._down: set[str] = set()
        self._stopped: set[str] = set()

    def start(self) -> float:
        """Make the folder, and let the proxy listen. The processes come with :meth:`start_processes`."""
        started_s = time.monotonic()
        self.config = self._write_config()
        nodes = self.config.nodes
        fronts: dict[str, tuple[str, int]] = {node_id: of.peer for node_id, of in nodes.items()}
        backs: dict[str, tuple[str, int]] = {node_id: of.peer_listen or of.peer for node_id, of in nodes.items()}
        self.proxy = ChaosProxy(fronts, backs, self._pids, seed=self._seed)
        self.proxy.__enter__()
        return time.monotonic() - started_s

    def stop(self) -> int:
        self.stop_processes()
        self.proxy.__exit__()
        return 0

    def start_processes(self) -> None:
        """Start all, and wait until the exchange takes orders."""
        for name in (*NODE_IDS, GATEWAY):
            self.begin(name)
        self.wait_ready()

    def stop_processes(self) -> None:
        """End all that still run, the gateway first, as ``tally up`` does."""
        self._down.update(self._processes)
        for name in list(self._stopped):
            self.resume(name)
        for name in (GATEWAY, *NODE_IDS):
            self._end(name)

    # One process

    def begin(self, name: str) -> None:
        """Start a replica or the gateway; it is meant to run from now on."""
        assert self._processes.get(name) is None or self._processes[name].poll() is not None, f"{name} runs"
        command = [
            "gateway",
            "--port",
            self.url.rpartition(":")[2],
            "--operator-key",
            str(self.directory / "operator.key"),
        ]
        if name != GATEWAY:
            command = ["node", "--node", name]
        self._down.discard(name)
        with (self.directory / "logs" / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, str(TALLY), *command, "--config", str(self.config.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with(os.getpid()),
            )

    def kill(self, *names: str) -> None:
        """SIGKILL at once. They stay down until :meth:`begin`."""
        self._down.update(names)
        for name in names:
            self._processes[name].kill()
        for name in names:
            self._processes[name].wait()

    def leave_down(self, name: str) -> None:
        """If it ends, it is not to be started before :meth:`begin`."""
        self._down.add(name)

    def pause(self, name: str) -> None:
        """SIGSTOP: the process keeps everything and does nothing."""
        self._stopped.add(name)
        os.kill(self.pid(name), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self._stopped.discard(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid(name), signal.SIGCONT)

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def is_running(self, name: str) -> bool:
        return self._processes[name].poll() is None

    def limit_file_bytes(self, name: str, limit_bytes: int) -> None:
        """No file of this process may grow beyond that (RLIMIT_FSIZE)."""
        _, hard = resource.prlimit(self.pid(name), resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid(name), resource.RLIMIT_FSIZE, (limit_bytes, hard))

    def data_dir(self, node_id: str) -> Path:
        return self.config.data_dir / node_id

    def last_line(self, name: str) -> str:
        """The end of a process's log."""
        text = (self.directory / "logs" / f"{name}.log").read_text(errors="replace")
        return (text.strip().splitlines() or [""])[-1]

    def look_after(self) -> None:
        """Start again what ended although it should run. NotRecovered if a replica halted."""
        for name, process in self._processes.items():
            code = process.poll()
            if code is None or name in self._down:
                continue
            if code == EXIT_HALTED:
                raise NotRecovered(f"{name} halted: {self.last_line(name)}")
            self.restarts.append(f"{name} ended with {code}")
            self.begin(name)

    # The whole

    def roles(self) -> tuple[str, list[str]]:
        """The leader and the followers, as soon as one leads. NotRecovered if none does for long."""
        deadline_s = time.monotonic() + RECOVERED_WITHIN_S
        while True:
            serving = [str(found["node"]) for found in self.try_replicas() if found["serving"]]
            if len(serving) == 1:
                return serving[0], [node_id for node_id in NODE_IDS if node_id != serving[0]]
            if time.monotonic() > deadline_s:
                raise NotRecovered(f"nobody leads after {RECOVERED_WITHIN_S:g} s")
            self.look_after()
            time.sleep(_POLL_S)

    def wait_recovered(self) -> list[dict[str, Any]]:
        """Until one leads, all keep up and vote. What each replica says then; NotRecovered if that takes too long."""
        deadline_s = time.monotonic() + RECOVERED_WITHIN_S
        while True:
            self.look_after()
            found = self.try_replicas()
            sequences = [replica["sequence"] for replica in found if replica["reachable"]]
            close = len(sequences) == len(NODE_IDS) and max(sequences) - min(sequences) <= _LAG_MAX
            if close and sum(replica["serving"] for replica in found) == 1 and self.voters() == set(NODE_IDS):
                return found
            if time.monotonic() > deadline_s:
                told = (
                    ", ".join(f"{one['node']} at {one['sequence']}" for one in found) or "the gateway does not answer"
                )
                raise NotRecovered(
                    f"not recovered after {RECOVERED_WITHIN_S:g} s: {told}; votes: {sorted(self.voters())}"
                )
            time.sleep(_POLL_S)

    def try_replicas(self) -> list[dict[str, Any]]:
        """What the replicas say of themselves; empty if the gateway cannot tell now."""
        client = self.operator(timeout_s=5.0)
        try:
            response = client.request("GET", "/v1/admin/replicas")
            return list(response.body["replicas"]) if response.ok else []
        except ClientError:
            return []
        finally:
            client.close()

    def voters(self) -> set[str]:
        """The replicas that say that they vote."""
        try:
            with urlopen(f"{self.url}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return set()
        found = re.findall(r'^tally_replica_voter\{[^}]*node="([^"]+)"[^}]*\} (\S+)$', text, re.MULTILINE)
        return {node_id for node_id, votes in found if float(votes) == 1.0}

    def _end(self, name: str) -> int | None:
        process = self._processes.get(name)
        if process is None or process.poll() is not None:
            return None
        process.terminate()
        try:
            return process.wait(_ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return -signal.SIGKILL

    def _pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in list(self._processes.items()) if name != GATEWAY}

    def _write_config(self) -> Config:
        """Each replica listens where it did, and is dialled at another port: that of the proxy."""
        with LocalCluster(self.directory) as cluster:
            config = cluster.load()
        text = config.path.read_text(encoding="utf-8")
        if "peer_listen" in text:
            return config
        for addresses in config.nodes.values():
            front = f"{LOOPBACK}:{free_port(avoid=text)}"
            text = text.replace(f'peer = "{addresses.peer}"\n', f'peer = "{front}"\npeer_listen = "{addresses.peer}"\n')
        config.path.write_text(text + _CLUSTER_SETTINGS, encoding="utf-8")
        return load_config(config.path)
