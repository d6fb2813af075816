"""An exchange on hosts of their own: each replica in a network namespace, with an address of its own on one bridge.

It needs Linux, `ip` of iproute2 and the right to make namespaces (root in a container is enough); `why_not` says what
is missing. The gateway runs outside, at the bridge.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from replication.local_cluster import LOOPBACK, NODE_IDS, LocalCluster, free_port
from sim.client import Client, ClientError, Credentials
from sim.local_exchange import TALLY

NETWORK: Final = "10.213.77"
_BRIDGE: Final = "tallytest"
_READY_WITHIN_S: Final = 30.0


def why_not() -> str:
    """Why hosts cannot be simulated here; empty if they can."""
    if not sys.platform.startswith("linux") or shutil.which("ip") is None:
        return "there is no `ip` command (iproute2)"
    tried = subprocess.run(["ip", "netns", "add", "tallytest-probe"], capture_output=True, text=True)
    if tried.returncode:
        return f"network namespaces cannot be made here: {tried.stderr.strip()}"
    _ip("netns", "del", "tallytest-probe")
    tried = subprocess.run(["ip", "link", "add", _BRIDGE, "type", "bridge"], capture_output=True, text=True)
    if tried.returncode:
        return f"a bridge cannot be made here: {tried.stderr.strip()}"
    _ip("link", "del", _BRIDGE)
    return ""


class HostsInNamespaces:
    """Three replicas on hosts of their own and a gateway. Use as a context manager."""

    def __init__(self, directory: Path) -> None:
        self.url = f"http://{LOOPBACK}:{free_port()}"
        self._directory = directory
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self._remove_network()
        try:
            self._make_network()
            config_file = self._write_config()
            for node_id in NODE_IDS:
                inside = ["ip", "netns", "exec", _host(node_id)]
                self._start(node_id, [*inside, *_tally("node", config_file), "--node", node_id])
            port = self.url.rpartition(":")[2]
            operator_key = ["--operator-key", str(self._directory / "operator.key")]
            self._start("gateway", [*_tally("gateway", config_file), "--port", port, *operator_key])
            self._wait_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop()

    def operator(self) -> Client:
        return Client(self.url, Credentials.load(self._directory, {}), timeout_s=15.0)

    def replicas(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.operator().request("GET", "/v1/admin/replicas").expect().body["replicas"]
        return found

    def leader(self, *, within_s: float = 10.0, other_than: str = "") -> str:
        """The node that serves, as soon as one does that is not this one."""
        deadline_s = time.monotonic() + within_s
        while True:
            serving = [str(replica["node"]) for replica in self.replicas() if replica.get("serving")]
            if serving and serving[0] != other_than:
                return serving[0]
            assert time.monotonic() < deadline_s, f"nobody leads:\n{self.log_ends()}"
            time.sleep(0.05)

    def agreed(self, *, within_s: float = 20.0) -> list[dict[str, Any]]:
        """All replicas, once all can be reached and stand at the same sequence."""
        deadline_s = time.monotonic() + within_s
        while True:
            found = self.replicas()
            if all(replica["reachable"] for replica in found) and len({replica["sequence"] for replica in found}) == 1:
                return found
            assert time.monotonic() < deadline_s, f"the replicas did not meet: {found}\n{self.log_ends()}"
            time.sleep(0.1)

    # What happens to a host

    def cut_off(self, node_id: str) -> None:
        """The cable is pulled: nothing goes in or out."""
        _ip("link", "set", _cable(node_id), "down")

    def plug_in(self, node_id: str) -> None:
        _ip("link", "set", _cable(node_id), "up")

    def mute(self, node_id: str) -> None:
        """Nothing that this host sends to the other hosts arrives; what they send does."""
        for other in NODE_IDS:
            if other != node_id:
                _ip("netns", "exec", _host(node_id), "ip", "route", "add", "blackhole", f"{_address(other)}/32")

    def unmute(self, node_id: str) -> None:
        for other in NODE_IDS:
            if other != node_id:
                _ip("netns", "exec", _host(node_id), "ip", "route", "del", "blackhole", f"{_address(other)}/32")

    def log_ends(self, lines: int = 12) -> str:
        parts = []
        for name in self._processes:
            tail = (self._directory / f"{name}.out").read_text(errors="replace").splitlines()[-lines:]
            parts.append("\n".join([f"--- {name}", *tail]))
        return "\n".join(parts)

    def _write_config(self) -> Path:
        with LocalCluster(self._directory) as cluster:
            cluster.load()
            config_file = cluster.config_file
        text = config_file.read_text()
        for node_id in NODE_IDS:
            addresses = f'[nodes.{node_id}]\npeer = "{_address(node_id)}:7101"\ndoor = "{_address(node_id)}:7201"\n'
            text = re.sub(rf"\[nodes\.{node_id}\]\npeer = .*\ndoor = .*\n", addresses, text)
        config_file.write_text(text)
        return config_file

    def _make_network(self) -> None:
        _ip("link", "add", _BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{NETWORK}.254/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        for node_id in NODE_IDS:
            host, cable = _host(node_id), _cable(node_id)
            _ip("netns", "add", host)
            _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", host)
            _ip("link", "set", cable, "master", _BRIDGE, "up")
            _ip("netns", "exec", host, "ip", "addr", "add", f"{_address(node_id)}/24", "dev", "eth0")
            _ip("netns", "exec", host, "ip", "link", "set", "eth0", "up")
            _ip("netns", "exec", host, "ip", "link", "set", "lo", "up")

    def _remove_network(self) -> None:
        for arguments in [*(["netns", "del", _host(node_id)] for node_id in NODE_IDS), ["link", "del", _BRIDGE]]:
            subprocess.run(["ip", *arguments], capture_output=True)

    def _start(self, name: str, command: list[str]) -> None:
        with (self._directory / f"{name}.out").open("wb") as log:
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _wait_ready(self) -> None:
        client, deadline_s = Client(self.url, timeout_s=2.0), time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline_s:
            try:
                if client.request("GET", "/readyz").status == 200:
                    return
            except ClientError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready after {_READY_WITHIN_S} s:\n{self.log_ends()}")

    def _stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._remove_network()


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    assert not done.returncode, f"ip {' '.join(arguments)}: {done.stderr.strip()}"


def _tally(command: str, config_file: Path) -> list[str]:
    return [sys.executable, str(TALLY), command, "--config", str(config_file)]


def _host(node_id: str) -> str:
    return f"{_BRIDGE}-{node_id}"


def _cable(node_id: str) -> str:
    return f"{_BRIDGE}{node_id.rpartition('-')[2]}"


def _address(node_id: str) -> str:
    return f"{NETWORK}.{node_id.rpartition('-')[2]}"
