import re
from pathlib import Path

import pytest

from replication.config import (
    Address,
    Config,
    ConfigError,
    LogSettings,
    NodeAddresses,
    load_config,
    node_addresses,
    node_data_dir,
    read_master_key,
)
from replication.kafka_settings import KafkaSettings
from replication.pysyncobj_adapter import RaftTiming

CONFIGS = Path(__file__).parents[2] / "configs"
MINIMAL = """
cluster_id = "00112233445566778899aabbccddeeff"
[nodes.node-1]
peer = "127.0.0.1:7101"
door = "127.0.0.1:7201"
[nodes.node-2]
peer = "127.0.0.1:7102"
door = "127.0.0.1:7202"
[nodes.node-3]
peer = "[::1]:7103"
door = "replica.example:7203"
"""


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "cluster.toml"
    path.write_text(text)
    return load_config(path)


def test_the_smallest_file_gets_the_documented_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    assert config.cluster_id == bytes.fromhex("00112233445566778899aabbccddeeff")
    assert config.group == "main"
    assert list(config.nodes) == ["node-1", "node-2", "node-3"]
    assert config.nodes["node-3"] == NodeAddresses(Address("::1", 7103), Address("replica.example", 7203))
    raft = config.raft
    assert (raft.election_timeout_ms_min, raft.election_timeout_ms_max, raft.heartbeat_ms) == (350, 700, 50)
    assert config.log == LogSettings(snapshot_every_commands=250_000, keep_tail_entries=1_000, fsync="majority")
    assert config.engine.reserve_requests == 100_000
    gateway = config.gateway
    assert (gateway.host, gateway.port, gateway.request_timeout_ms) == ("127.0.0.1", 8080, 10_000)


def test_a_node_may_listen_elsewhere_than_where_it_is_dialled(tmp_path: Path) -> None:
    text = MINIMAL.replace(
        '"127.0.0.1:7101"', '"10.0.9.11:7101"\npeer_listen = "0.0.0.0:7101"\ndoor_listen = "[::]:7201"'
    )
    config = load(tmp_path, text.replace('"127.0.0.1:7102"', '"10.0.9.12:7101"\npeer_listen = "0.0.0.0:7101"'))
    node = config.nodes["node-1"]
    assert (node.peer, node.peer_listen) == (Address("10.0.9.11", 7101), Address("0.0.0.0", 7101))
    assert (node.door, node.door_listen) == (Address("127.0.0.1", 7201), Address("::", 7201))
    assert config.nodes["node-3"].peer_listen is None
    with pytest.raises(ConfigError, match="peer_listen: '7101' is not an address such as"):
        load(tmp_path, MINIMAL.replace('"127.0.0.1:7101"', '"127.0.0.1:7101"\npeer_listen = "7101"'))


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load(tmp_path, 'master_key_file = "keys/master.key"\nca_file = "/etc/ca.crt"\n' + MINIMAL)
    assert config.master_key_file == tmp_path / "keys/master.key"
    assert config.ca_file == Path("/etc/ca.crt")
    assert node_data_dir(config, "node-2") == tmp_path / "data/node-2"


def test_certificates_and_keys_are_found_by_the_name_of_their_holder(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    assert config.ca_file == tmp_path / "tls/ca.crt"
    assert config.certificate_file("node-2") == tmp_path / "tls/node-2.crt"
    assert config.key_file("gateway-1") == tmp_path / "tls/gateway-1.key"
    config = load(tmp_path, 'certificate_file = "/etc/{name}/it.crt"\nkey_file = "own.key"\n' + MINIMAL)
    assert config.certificate_file("node-2") == Path("/etc/node-2/it.crt")
    assert config.key_file("node-2") == tmp_path / "own.key"


def test_read_models_are_in_a_file_or_at_a_url(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL).projections.database == tmp_path / "projections/projections.sqlite"
    config = load(tmp_path, MINIMAL + '[projections]\ndatabase = "models.sqlite"\n')
    assert config.projections.database == tmp_path / "models.sqlite"
    config = load(tmp_path, MINIMAL + '[projections]\ndatabase = "postgresql://tally@10.0.9.20/tally"\n')
    assert config.projections.database == "postgresql://tally@10.0.9.20/tally"


def test_an_address_is_written_as_it_is_read(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    assert [str(address) for address in config.nodes["node-3"][:2]] == ["[::1]:7103", "replica.example:7203"]


@pytest.mark.parametrize("name", ["dev", "staging", "production"])
def test_the_example_files_load(name: str) -> None:
    assert len(load_config(CONFIGS / f"{name}.toml").nodes) == 3


def test_production_shows_the_defaults() -> None:
    """A reader takes the values there for the defaults, and dev.toml says so."""
    production = load_config(CONFIGS / "production.toml")
    assert production.raft == type(production.raft)()
    assert production.log == type(production.log)()
    assert production.engine == type(production.engine)()
    assert production.gateway == type(production.gateway)()
    assert production.projections.database == production.path.parent / type(production.projections).database


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"00112233445566778899aabbccddeeff"', '"0011"', "cluster_id: '0011' is not 32 hexadecimal digits"),
        ('cluster_id = "00112233445566778899aabbccddeeff"', "", "cluster_id: is missing; it must be 32 hexadecimal"),
        ('cluster_id = "', 'cluster_id = 5\nx = "', "cluster_id: 5 is not 32 hexadecimal digits"),
        ("[nodes.node-1]", "colour = 3\n[nodes.node-1]", "colour: this key is not known; allowed here: ca_file, "),
        ("[nodes.node-1]", "[nodes.Node_1]", "nodes.Node_1: a node id is made of lower-case letters"),
        ("127.0.0.1:7101", "127.0.0.1", "nodes.node-1.peer: '127.0.0.1' is not an address"),
        ("127.0.0.1:7101", "127.0.0.1:65536", "nodes.node-1.peer: '127.0.0.1:65536' is not an address"),
        ("127.0.0.1:7101", "127.0.0.1:0", "nodes.node-1.peer: '127.0.0.1:0' is not an address"),
        ('peer = "127.0.0.1:7101"', "peer = 7101", "nodes.node-1.peer: 7101 is not an address"),
        ('door = "127.0.0.1:7201"', "", "nodes.node-1.door: is missing"),
        ("7201", "7101", "nodes.node-1.door: 127.0.0.1:7101 is already the address of nodes.node-1.peer"),
        ("7202", "7201", "nodes.node-2.door: 127.0.0.1:7201 is already the address of nodes.node-1.door"),
        (
            'door = "127.0.0.1:7201"',
            'door = "127.0.0.1:7201"\nweight = 1',
            "nodes.node-1.weight: this key is not known",
        ),
    ],
)
def test_a_fault_is_named_with_its_place(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in MINIMAL
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, MINIMAL.replace(old, new, 1))
    assert str(caught.value).startswith(f"{tmp_path / 'cluster.toml'}: {complaint}")


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("[raft]\nheartbeat_ms = 117", "raft.heartbeat_ms: 117 is too slow, it must be below a third"),
        ("[raft]\nelection_timeout_ms_max = 350", "raft.election_timeout_ms_max: 350 must be above"),
        ("[raft]\nheartbeat_ms = true", "raft.heartbeat_ms: True is not a whole number from 5 to 20000"),
        ("[raft]\nheartbeat_ms = 50.5", "raft.heartbeat_ms: 50.5 is not a whole number"),
        ("[raft]\nhartbeat_ms = 50", "raft.hartbeat_ms: this key is not known"),
        ("[log]\nfsync = false", 'log.fsync: False is not "majority" or "none"'),
        ("[log]\nfsync = 'leader'", 'log.fsync: \'leader\' is not "majority" or "none"'),
        ("[log]\nsnapshot_every_commands = 0", "log.snapshot_every_commands: 0 is not a whole number"),
        ("[engine]\nreserve_requests = -1", "engine.reserve_requests: -1 is not a whole number from 0 to 100000000"),
        ("[engine]\nreserve = 1", "engine.reserve: this key is not known"),
        ("[projections]\ndatabase = 5", "projections.database: 5 is not a file, or a URL such as"),
        ("[projections]\ndatabase = ''", "projections.database: '' is not a path"),
        ("[projections]\nurl = ''", "projections.url: this key is not known"),
        ("[gateway]\nport = 70000", "gateway.port: 70000 is not a whole number from 1 to 65535"),
        ('[gateway]\nhost = ""', "gateway.host: '' is not a host name"),
    ],
)
def test_a_fault_in_a_table_of_settings_is_named(tmp_path: Path, table: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, MINIMAL + table)
    assert str(caught.value).startswith(f"{tmp_path / 'cluster.toml'}: {complaint}")


def test_settings_at_their_limits_are_taken(tmp_path: Path) -> None:
    config = load(
        tmp_path, MINIMAL + "[raft]\nelection_timeout_ms_min = 150\nheartbeat_ms = 49\n[gateway]\nport = 65535"
    )
    assert (config.raft.heartbeat_ms, config.gateway.port) == (49, 65_535)


def test_a_heartbeat_of_exactly_a_third_is_refused_here_and_not_by_a_traceback_later(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="50 is too slow"):
        load(tmp_path, MINIMAL + "[raft]\nelection_timeout_ms_min = 150\nheartbeat_ms = 50")
    RaftTiming(election_timeout_s_min=0.15, election_timeout_s_max=0.3, heartbeat_s=0.049)


def test_a_table_that_is_a_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"raft: must be a table"):
        load(tmp_path, "raft = 3\n" + MINIMAL)


def test_two_nodes_are_no_cluster(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nodes: 2 nodes are named, a cluster has 3 to 9"):
        load(tmp_path, MINIMAL[: MINIMAL.index("[nodes.node-3]")])


def test_a_file_without_nodes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nodes: is missing"):
        load(tmp_path, MINIMAL[: MINIMAL.index("[nodes.node-1]")])


def test_a_missing_file_and_broken_toml_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load_config(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(tmp_path, "cluster_id = ")
    (tmp_path / "latin.toml").write_bytes(b"group = '\xe9'")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "latin.toml")


def test_an_unknown_node_is_refused(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    assert node_addresses(config, "node-1").peer == Address("127.0.0.1", 7101)
    with pytest.raises(ConfigError, match="there is no node 'node-9'; the file names node-1, node-2, node-3"):
        node_data_dir(config, "node-9")


def test_a_secret_comes_from_its_file(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    config.master_key_file.write_text("ab" * 32 + "\n")
    config.master_key_file.chmod(0o600)
    assert read_master_key(config, environ={}) == b"\xab" * 32


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    config.master_key_file.write_text("ab" * 32)
    assert read_master_key(config, environ={"TALLY_MASTER_KEY": "CD" * 32}) == b"\xcd" * 32


def test_a_secret_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    config.master_key_file.write_text("ab" * 32)
    config.master_key_file.chmod(0o644)
    with pytest.raises(ConfigError, match=r"master\.key.*chmod 600"):
        read_master_key(config, environ={})


def test_a_missing_or_malformed_secret_is_refused_without_showing_it(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    with pytest.raises(ConfigError, match=r"master\.key .*there is no such file, and TALLY_MASTER_KEY is not set"):
        read_master_key(config, environ={})
    with pytest.raises(ConfigError, match="TALLY_MASTER_KEY: a secret is written as 64 hex") as caught:
        read_master_key(config, environ={"TALLY_MASTER_KEY": "hunter2"})
    assert "hunter2" not in str(caught.value)


KAFKA = '[kafka]\nbootstrap_servers = ["127.0.0.1:9092"]\n'


def test_without_a_table_of_its_own_there_is_no_kafka(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL).kafka is None


def test_the_smallest_table_of_kafka_gets_settings_that_lose_nothing(tmp_path: Path) -> None:
    kafka = load(tmp_path, MINIMAL + KAFKA).kafka
    assert kafka == KafkaSettings(("127.0.0.1:9092",), "tallystick", 3, 2, "plaintext", None, "", 300)


def test_one_replica_of_a_topic_asks_for_one_in_sync(tmp_path: Path) -> None:
    kafka = load(tmp_path, MINIMAL + KAFKA + "replication_factor = 1\n").kafka
    assert kafka is not None
    assert kafka.min_insync_replicas == 1


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("min_insync_replicas = 4", "kafka.min_insync_replicas: 4 must not be above replication_factor, which is 3"),
        ('security = "ssl"', 'kafka.security: \'ssl\' is not "plaintext" or "tls"'),
        ('sasl_mechanism = "GSSAPI"', "kafka.sasl_mechanism: 'GSSAPI' is not one of PLAIN, SCRAM"),
        ("command_age_s_max = 86400", "kafka.command_age_s_max: 86400 is not a whole number from 1 to 43200"),
        ('topic_prefix = "a b"', "kafka.topic_prefix: 'a b' is not a name"),
        ('password = "x"', "kafka.password: this key is not known"),
    ],
)
def test_a_setting_of_kafka_that_cannot_be_used_is_named(tmp_path: Path, line: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(fault)):
        load(tmp_path, MINIMAL + KAFKA + line + "\n")


@pytest.mark.parametrize("servers", ['"127.0.0.1:9092"', "[]", '["nowhere"]', "[9092]"])
def test_brokers_are_a_list_of_addresses(tmp_path: Path, servers: str) -> None:
    with pytest.raises(ConfigError, match=r"kafka.bootstrap_servers: .* is not a"):
        load(tmp_path, f"{MINIMAL}[kafka]\nbootstrap_servers = {servers}\n")


def test_the_example_of_kafka_in_the_production_file_can_be_used(tmp_path: Path) -> None:
    lines = (CONFIGS / "production.toml").read_text().splitlines()
    start = lines.index("#     [kafka]")
    example = [line.removeprefix("#     ") for line in lines[start : lines.index("", start)]]
    kafka = load(tmp_path, MINIMAL + "\n".join(example)).kafka
    assert kafka is not None
    assert (len(kafka.bootstrap_servers), kafka.security, kafka.sasl_mechanism) == (3, "tls", "SCRAM-SHA-512")
    assert kafka.ca_file == Path("/etc/tally/kafka-ca.crt")


def test_a_query_server_is_where_the_file_says(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL).query_address is None
    table = '\n[query]\naddress = "10.0.9.31:7301"\n'
    assert load(tmp_path, MINIMAL + table).query_address == Address("10.0.9.31", 7301)
    for wrong, complaint in (('address = "7301"', "query.address"), ('host = "a"', "query.host")):
        with pytest.raises(ConfigError, match=complaint):
            load(tmp_path, f"{MINIMAL}\n[query]\n{wrong}\n")
