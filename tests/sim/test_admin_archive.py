"""`tally admin archive`, as an operator uses it, beside real nodes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from replication import archive_keeper
from replication.archive import list_segments
from replication.config import node_data_dir
from replication.local_cluster import NODE_IDS
from sim.admin import main
from tests.replication.nodes_in_process import NodesInProcess
from tests.replication.test_archive_keeper import trade_past_a_snapshot
from tests.replication.test_entry_source import ticking


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NodesInProcess]:
    monkeypatch.setattr(archive_keeper, "FIRST_ROUND_S", 0.1)
    nodes = NodesInProcess(tmp_path / "cluster")
    yield nodes
    nodes.close()


def rows(cluster: NodesInProcess, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, Any]]]:
    code = main(["archive", "--config", str(cluster.config.path), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_it_says_what_is_missing_and_what_is_damaged(
    cluster: NodesInProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    trade_past_a_snapshot(cluster)
    cluster.tick_until(lambda: all(node._keeper._has_looked for node in cluster.nodes.values()))
    with ticking(cluster):
        code, found = rows(cluster, capsys)
    assert (code, [row["node"] for row in found]) == (0, list(NODE_IDS))
    assert {(row["missing"], row["damaged_files"], row["problem"]) for row in found} == {(0, 0, "")}

    for node_id in NODE_IDS:  # nobody has the beginning any more
        cluster.stop(node_id)
        (segment,) = list_segments(node_data_dir(cluster.config, node_id) / "archive")
        segment.path.write_bytes(bytes(100))
    for node_id in NODE_IDS:
        cluster.start(node_id)
    cluster.tick_until(lambda: all(node.status().archive_missing for node in cluster.nodes.values()))
    with ticking(cluster):
        code, found = rows(cluster, capsys)
        assert main(["archive", "--config", str(cluster.config.path)]) == 1
    assert code == 1
    for row in found:
        ((first, last),) = row["holes"]
        assert (first, row["missing"], row["damaged_files"]) == (1, last, 1)
        assert "no replica that answers has sequence 1" in str(row["problem"])
    assert capsys.readouterr().out.startswith("GROUP  NODE    SEQUENCE  MISSING  SET ASIDE  VERIFIED  PROBLEM\n")

    cluster.stop("node-2")
    with ticking(cluster):
        code, found = rows(cluster, capsys)
    assert code == 1
    assert (found[1]["missing"], "cannot be reached" in str(found[1]["problem"])) == (None, True)
