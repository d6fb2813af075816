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
from typing import Final

from replication.local_cluster import NODE_IDS, LocalCluster
from sim.local_exchange import STOPPED_WITHIN_S, TALLY, LocalExchange

NETWORK: Final = "10.213.77"
_BRIDGE: Final = "tallytest"
_ELECTED_WITHIN_S: Final = 10.0


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


class HostsInNamespaces(LocalExchange):
    """Three replicas on hosts of their own and a gateway. Use as a context manager."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> float:
        started_s = time.monotonic()
        self._remove_network()
        try:
            self._make_network()
            config_file = self._write_config()
            for node_id in NODE_IDS:
                inside = ["ip", "netns", "exec", _host(node_id)]
                self._run(node_id, [*inside, *_tally("node", config_file), "--node", node_id])
            port = self.url.rpartition(":")[2]
            operator_key = ["--operator-key", str(self.directory / "operator.key")]
            self._run("gateway", [*_tally("gateway", config_file), "--port", port, *operator_key])
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return time.monotonic() - started_s

    def stop(self) -> int:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._remove_network()
        return 0

    def new_leader(self, old: str = "") -> str:
        """The node that serves, as soon as one does that is not the old one."""
        deadline_s = time.monotonic() + _ELECTED_WITHIN_S
        while True:
            serving = [str(replica["node"]) for replica in self.replicas() if replica.get("serving")]
            if serving and serving[0] != old:
                return serving[0]
            assert time.monotonic() < deadline_s, f"nobody leads:\n{self.log_ends()}"
            time.sleep(0.05)

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

    def _write_config(self) -> Path:
        with LocalCluster(self.directory) as cluster:
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

    def _run(self, name: str, command: list[str]) -> None:
        with (self.directory / "logs" / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


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
