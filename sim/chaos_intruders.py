"""Processes that must be refused: a second one on a folder that is in use, and one of another cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from replication.local_cluster import LOOPBACK, LocalCluster, free_port
from replication.supervisor import EXIT_HALTED
from sim.chaos_cluster import ChaosCluster
from sim.local_exchange import TALLY

_REFUSED_WITHIN_S: Final = 30.0
_EXIT_FAILED: Final = 1


class NotRefused(Exception):
    """Something was let in that must not be."""


def start_on_a_used_folder(cluster: ChaosCluster, node_id: str) -> str:
    """A second process for a replica that runs, at ports of its own. NotRefused unless it ends and names the folder."""
    text = cluster.config.path.read_text(encoding="utf-8")
    addresses = cluster.config.nodes[node_id]
    for taken in (addresses.peer_listen, addresses.door):
        text = text.replace(f'"{taken}"', f'"{LOOPBACK}:{free_port(avoid=text)}"')
    config_file = cluster.directory / "second-process.toml"
    config_file.write_text(text, encoding="utf-8")
    try:
        code, last = _run(config_file, node_id)
    finally:
        config_file.unlink()
    folder = cluster.data_dir(node_id) / "journal"
    if code != _EXIT_FAILED or f"another process uses {folder}" not in last:
        raise NotRefused(f"a second process on the folder of {node_id} ended with {code}: {last}")
    return f"{node_id}: refused, because another process uses its journal"


def start_from_another_cluster(cluster: ChaosCluster, node_id: str) -> str:
    """A replica with the identity of another cluster, on the folder of one that is down. NotRefused unless it halts."""
    directory = cluster.directory.with_name(f"{cluster.directory.name}-other")
    with LocalCluster(directory) as other:
        config_file = other.load().path
        text = config_file.read_text(encoding="utf-8")
        if 'data_dir = "data"' in text:
            text = text.replace('data_dir = "data"', f'data_dir = "{cluster.config.data_dir}"')
            config_file.write_text(text, encoding="utf-8")
    code, last = _run(config_file, node_id)
    expected = f"of cluster {cluster.config.cluster_id.hex()}"
    if code != EXIT_HALTED or expected not in last:
        raise NotRefused(f"a replica of another cluster on the folder of {node_id} ended with {code}: {last}")
    return f"{node_id}: refused, because its journal is that of this cluster"


def _run(config_file: Path, node_id: str) -> tuple[int | None, str]:
    """The exit code and the last line of a node that should not run; None if it does."""
    process = subprocess.Popen(
        [sys.executable, str(TALLY), "node", "--config", str(config_file), "--node", node_id],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = process.communicate(timeout=_REFUSED_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None, "it did not end"
    return process.returncode, (said.strip().splitlines() or [""])[-1]
