import datetime
import json
import os
import shutil
import socket
import stat
import time
from pathlib import Path

import pytest

from replication.certificates import Authority
from replication.config import read_master_key
from replication.identity import GATEWAY, NODE
from replication.local_cluster import (
    GATEWAY_NAME,
    LocalCluster,
    LocalClusterError,
    free_port,
    is_port_free,
    require_free_port,
)
from replication.tls import load_credentials


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_first_start_makes_a_cluster_that_only_its_owner_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "tally-data"
    with LocalCluster(folder) as cluster:
        config = cluster.load()
        assert list(config.nodes) == ["node-1", "node-2", "node-3"]
        assert {address.host for node in config.nodes.values() for address in node[:2]} == {"127.0.0.1"}
        assert len(read_master_key(config, environ={})) == 32
        assert mode(folder) == mode(folder / "tls") == 0o700
        for name in ("cluster.toml", "master.key", "operator.key", "tls/ca.key", "tls/node-1.key"):
            assert mode(folder / name) == 0o600
        key = json.loads(cluster.operator_key_file.read_text())
        assert key["key_id"] == "operator"
        assert len(bytes.fromhex(key["secret"])) == 32


def test_two_clusters_share_no_secret_and_no_identity(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "a") as one, LocalCluster(tmp_path / "b") as other:
        assert one.load().cluster_id != other.load().cluster_id
        other.load()
        for name in ("tls/ca.key", "master.key", "operator.key"):
            assert (tmp_path / "a" / name).read_text() != (tmp_path / "b" / name).read_text()


def test_a_later_start_changes_nothing(tmp_path: Path) -> None:
    names = ("cluster.toml", "master.key", "operator.key", "tls/ca.crt", "tls/node-1.crt", "tls/gateway-1.key")
    with LocalCluster(tmp_path / "a") as cluster:
        cluster.load()
        first = [(tmp_path / "a" / name).read_text() for name in names]
    with LocalCluster(tmp_path / "a") as cluster:
        cluster.load()
        assert [(tmp_path / "a" / name).read_text() for name in names] == first


def test_a_start_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    with LocalCluster(folder):
        pass
    secret = (folder / "master.key").read_text()
    (folder / "cluster.toml").rename(folder / "cluster.toml.new")
    (folder / "operator.key").unlink()
    with LocalCluster(folder) as cluster:
        cluster.load()
        assert cluster.operator_key_file.exists()
        assert (folder / "master.key").read_text() == secret


def test_everybody_gets_a_certificate_of_one_authority(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "a") as cluster:
        config = cluster.load()
    ends_s = {load_credentials(config, NODE, node_id).expires_s for node_id in config.nodes}
    ends_s.add(load_credentials(config, GATEWAY, GATEWAY_NAME).expires_s)
    (end_s,) = ends_s
    assert end_s - time.time() > 9 * 365 * 86_400


def test_a_certificate_that_is_missing_is_made_and_the_others_are_kept(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "a") as cluster:
        config = cluster.load()
        kept = config.certificate_file("node-1").read_text()
        for file in (config.certificate_file("node-2"), config.key_file("node-2")):
            file.unlink()
        cluster.load()
        load_credentials(config, NODE, "node-2")
        assert config.certificate_file("node-1").read_text() == kept


def test_a_start_that_was_cut_short_among_the_certificates_is_completed(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "a") as cluster:
        config = cluster.load()
        (tmp_path / "a/tls").rename(tmp_path / "a/tls.new")
    with LocalCluster(tmp_path / "a") as cluster:
        cluster.load()
        load_credentials(config, NODE, "node-1")
        assert not (tmp_path / "a/tls.new").exists()


def test_a_key_whose_certificate_was_never_written_is_replaced(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "a") as cluster:
        config = cluster.load()
        config.certificate_file("node-2").rename(tmp_path / "a/tls/node-2.crt.new")
        cluster.load()
        load_credentials(config, NODE, "node-2")
    assert sorted(path.name for path in (tmp_path / "a/tls").glob("node-2*")) == ["node-2.crt", "node-2.key"]


def test_certificates_that_end_within_a_year_are_all_made_anew(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "a") as cluster:
        config = cluster.load()
        shutil.rmtree(tmp_path / "a/tls")
        (tmp_path / "a/tls").mkdir()
        ends_soon = Authority.create(config.cluster_id, now=datetime.datetime.now(datetime.UTC), days=364)
        ends_soon.write(tmp_path / "a/tls")
        cluster.load()
        assert Authority.load(tmp_path / "a/tls").certificate != ends_soon.certificate
        load_credentials(config, NODE, "node-1")


def test_an_authority_of_the_operators_own_is_left_alone(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "a") as cluster:
        text = cluster.config_file.read_text()
        cluster.config_file.write_text(text.replace('"tls/ca.crt"', '"/etc/tally/ca.crt"'))
        cluster.load()
        assert not (tmp_path / "a/tls").exists()


def test_a_certificate_cannot_be_added_without_the_key_of_the_authority(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "a") as cluster:
        config = cluster.load()
        (tmp_path / "a/tls/ca.key").unlink()
        config.certificate_file("node-2").unlink()
        with pytest.raises(LocalClusterError, match=r"ca\.key cannot be read"):
            cluster.load()


def test_a_folder_of_version_0_1_gets_certificates_instead_of_its_secret(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    with LocalCluster(folder) as cluster:
        text = cluster.config_file.read_text()
    lines = [line for line in text.splitlines() if not line.startswith(("ca_file", "certificate_file", "key_file"))]
    lines.insert(4, 'cluster_secret_file = "cluster.secret"')
    (folder / "cluster.toml").write_text("\n".join(lines) + "\n# a remark of the operator\n")
    (folder / "cluster.secret").write_text("ab" * 32)
    (folder / "data").mkdir()
    with LocalCluster(folder) as cluster:
        config = cluster.load()
        assert load_credentials(config, NODE, "node-3").identity.cluster_id == config.cluster_id
        assert cluster.config_file.read_text() == text + "# a remark of the operator\n"
        assert not (folder / "cluster.secret").exists()


def test_a_folder_of_a_version_without_a_query_server_gets_an_address_for_one(tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "a") as cluster:
        text = cluster.config_file.read_text()
    older = text[: text.index("[query]")].rstrip() + "\n"
    (tmp_path / "a" / "cluster.toml").write_text(older)
    with LocalCluster(tmp_path / "a") as cluster:
        config = cluster.load()
    assert config.query_address is not None
    assert cluster.config_file.read_text() == f'{older}\n[query]\naddress = "{config.query_address}"\n'


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
