import json
import os
import socket
import stat
from pathlib import Path

import pytest

from replication.config import read_cluster_secret, read_master_key
from replication.local_cluster import LocalCluster, LocalClusterError, free_port, is_port_free, require_free_port


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_first_start_makes_a_cluster_that_only_its_owner_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "tally-data"
    with LocalCluster(folder) as cluster:
        config = cluster.load()
        assert list(config.nodes) == ["node-1", "node-2", "node-3"]
        assert {address.host for node in config.nodes.values() for address in node} == {"127.0.0.1"}
        assert read_cluster_secret(config, environ={}) != read_master_key(config, environ={})
        assert mode(folder) == 0o700
        for name in ("cluster.toml", "cluster.secret", "master.key", "operator.key"):
            assert mode(folder / name) == 0o600
        key = json.loads(cluster.operator_key_file.read_text())
        assert key["key_id"] == "operator"
        assert len(bytes.fromhex(key["secret"])) == 32


def test_two_clusters_share_no_secret_and_no_identity(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "a") as one, LocalCluster(tmp_path / "b") as other:
        assert one.load().cluster_id != other.load().cluster_id
        for name in ("cluster.secret", "master.key", "operator.key"):
            assert (tmp_path / "a" / name).read_text() != (tmp_path / "b" / name).read_text()


def test_a_later_start_changes_nothing(tmp_path: Path) -> None:
    names = ("cluster.toml", "cluster.secret", "master.key", "operator.key")
    with LocalCluster(tmp_path / "a"):
        first = [(tmp_path / "a" / name).read_text() for name in names]
    with LocalCluster(tmp_path / "a") as cluster:
        cluster.load()
        assert [(tmp_path / "a" / name).read_text() for name in names] == first


def test_a_start_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    with LocalCluster(folder):
        pass
    secret = (folder / "cluster.secret").read_text()
    (folder / "cluster.toml").rename(folder / "cluster.toml.new")
    (folder / "operator.key").unlink()
    with LocalCluster(folder) as cluster:
        cluster.load()
        assert cluster.operator_key_file.exists()
        assert (folder / "cluster.secret").read_text() == secret


def test_a_port_that_was_taken_meanwhile_is_chosen_anew_and_the_rest_is_kept(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "a") as cluster:
        before = cluster.load()
        cluster.config_file.write_text(cluster.config_file.read_text() + "# a remark of the operator\n")
        taken = before.nodes["node-2"].peer
        with socket.create_server(taken):
            after = cluster.load()
        assert after.nodes["node-2"].peer.port != taken.port
        assert after.nodes["node-2"].door == before.nodes["node-2"].door
        assert after.nodes["node-1"] == before.nodes["node-1"]
        assert cluster.config_file.read_text().endswith("# a remark of the operator\n")


def test_a_second_start_on_a_running_cluster_is_refused(tmp_path: Path) -> None:
    running = rf"is already running \(process {os.getpid()}\)"
    with LocalCluster(tmp_path / "a"), pytest.raises(LocalClusterError, match=running):
        LocalCluster(tmp_path / "a")
    with LocalCluster(tmp_path / "a"):
        pass


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(LocalClusterError, match="holds other files and no cluster"):
        LocalCluster(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]


def test_data_without_its_cluster_file_gets_no_new_identity(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "a") as cluster:
        cluster.config_file.unlink()
    (tmp_path / "a" / "data").mkdir()
    with pytest.raises(LocalClusterError, match=r"cluster.toml is missing, but the cluster's data is there"):
        LocalCluster(tmp_path / "a")


def test_a_lost_secret_is_named(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "a"):
        pass
    (tmp_path / "a" / "master.key").unlink()
    with pytest.raises(LocalClusterError, match=r"master.key is missing"):
        LocalCluster(tmp_path / "a")


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalClusterError, match="cannot be used: Not a directory"):
        LocalCluster(tmp_path / "file")


def test_a_taken_port_is_refused_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_port_free("127.0.0.1", port)
        with pytest.raises(LocalClusterError, match=rf"Port {port} on 127.0.0.1 is taken by another program.*--port"):
            require_free_port("127.0.0.1", port)
    require_free_port("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "bad..name"])
def test_an_address_that_is_not_this_machines_is_refused(host: str) -> None:
    with pytest.raises(LocalClusterError, match=rf"Cannot listen on {host} port 8080: .*--host"):
        require_free_port(host, 8080)


def test_a_chosen_port_lies_below_the_range_of_outgoing_connections() -> None:
    assert all(20_000 <= free_port() <= 31_999 for _ in range(20))
