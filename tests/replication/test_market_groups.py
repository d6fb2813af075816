"""Several market groups in one file: what each one's replicas see, and what keeps them apart."""

from pathlib import Path

import pytest

from replication.config import Address, Config, ConfigError, NodeAddresses, load_config, node_addresses, node_data_dir
from replication.config_edit import add_group
from replication.config_watch import CHECK_EVERY_S, ConfigWatch
from replication.market_groups import (
    doors_of_group,
    group_id,
    groups_of_node,
    id_of_group,
    of_group,
    other_groups,
    preferred_leader,
)
from tests.replication.test_config import MINIMAL, load

METALS = "\n".join(
    f'[groups.metals.nodes.node-{number}]\npeer = "127.0.0.1:73{number:02}"\ndoor = "127.0.0.1:74{number:02}"'
    for number in (1, 2, 3)
)
STONES = METALS.replace("metals", "stones").replace("127.0.0.1:73", "127.0.0.1:75").replace("1:74", "1:76")


def three_groups(tmp_path: Path, head: str = "") -> Config:
    return load(tmp_path, head + MINIMAL + METALS + "\n" + STONES.replace("node-3", "node-4"))


def test_a_file_without_groups_has_one(tmp_path: Path) -> None:
    config = load(tmp_path, MINIMAL)
    assert list(config.groups) == ["main"] and config.home == "main"
    assert of_group(config, "main") is config
    assert group_id(config) == config.cluster_id
    assert preferred_leader(config) is None
    assert not other_groups(config)


def test_each_group_has_its_own_nodes_folder_and_identity(tmp_path: Path) -> None:
    config = three_groups(tmp_path)
    assert list(config.groups) == ["main", "metals", "stones"]
    metals, stones = of_group(config, "metals"), of_group(config, "stones")
    assert node_addresses(metals, "node-2") == NodeAddresses(Address("127.0.0.1", 7302), Address("127.0.0.1", 7402))
    assert node_data_dir(config, "node-1") == tmp_path / "data/node-1"
    assert node_data_dir(metals, "node-1") == tmp_path / "data/groups/metals/node-1"
    assert len({group_id(config), group_id(metals), group_id(stones)}) == 3
    assert id_of_group(config, "stones") == id_of_group(metals, "stones") == group_id(stones)
    assert set(other_groups(metals)) == {"main", "stones"}
    assert doors_of_group(config, "stones")["node-4"] == Address("127.0.0.1", 7603)


def test_a_node_hosts_the_groups_that_name_it(tmp_path: Path) -> None:
    config = three_groups(tmp_path)
    assert groups_of_node(config, "node-1") == ["main", "metals", "stones"]
    assert groups_of_node(config, "node-4") == ["stones"]
    with pytest.raises(ConfigError, match="no node 'node-9'; the file names node-1, node-2, node-3, node-4"):
        groups_of_node(config, "node-9")
    with pytest.raises(ConfigError, match="no group 'tin'; the file has main, metals, stones"):
        of_group(config, "tin")


def test_leaders_take_turns_over_the_nodes(tmp_path: Path) -> None:
    config = three_groups(tmp_path)
    assert [preferred_leader(of_group(config, name)) for name in config.groups] == ["node-1", "node-2", "node-4"]


def test_the_home_is_the_default_group_unless_the_file_says_another(tmp_path: Path) -> None:
    assert three_groups(tmp_path).home == "main"
    assert three_groups(tmp_path, 'home = "metals"\n').home == "metals"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('home = "tin"\n' + MINIMAL, "home: there is no group 'tin'; the file has main"),
        (MINIMAL + METALS.replace("metals", "Metals"), "groups.Metals: a group's name is made of"),
        (MINIMAL + METALS.replace("metals", "main"), "groups.main: this is the default group"),
        (MINIMAL + METALS.replace(":7401", ":7101"), "is already the address of nodes.node-1.peer"),
        (MINIMAL + METALS.split("[groups.metals.nodes.node-3]")[0], "2 nodes are named"),
        (MINIMAL + METALS + "\n[groups.metals]\nports = 3\n", "groups.metals.ports: this key is not known"),
        (MINIMAL + "[groups.metals]\n", "groups.metals.nodes: is missing"),
        (MINIMAL.replace("nodes.node-1", "nodes.groups"), "nodes.groups: this is the name of a folder"),
    ],
)
def test_faults_say_where_they_are(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as fault:
        load(tmp_path, text)
    assert complaint in str(fault.value)


def test_a_group_is_added_to_the_file_and_everything_else_stays(tmp_path: Path) -> None:
    load(tmp_path, "# ours\n" + MINIMAL)
    path = tmp_path / "cluster.toml"
    path.chmod(0o640)
    nodes = {f"node-{n}": NodeAddresses(Address("::1", 7800 + n), Address("db.example", 7900 + n)) for n in (1, 2, 3)}
    config = add_group(path, "metals", nodes)
    assert dict(config.groups["metals"]) == nodes and config.path == path
    assert path.read_text().startswith("# ours\n" + MINIMAL)
    assert path.stat().st_mode & 0o777 == 0o640
    text = path.read_text()
    add_group(path, "metals", nodes)
    assert path.read_text() == text, "the same again changes nothing"


def test_what_would_spoil_the_file_is_not_written(tmp_path: Path) -> None:
    load(tmp_path, MINIMAL)
    path = tmp_path / "cluster.toml"
    taken = {"node-1": NodeAddresses(Address("127.0.0.1", 7101), Address("127.0.0.1", 7999))}
    for name, complaint in (
        ("metals", "is already the address"),
        ("Bad", "a group's name"),
        ("main", "exists already"),
    ):
        with pytest.raises(ConfigError, match=complaint) as fault:
            add_group(path, name, taken)
        assert str(path) in str(fault.value) and "draft" not in str(fault.value)
    assert path.read_text() == MINIMAL
    assert [one.name for one in tmp_path.iterdir()] == ["cluster.toml"]


def test_a_change_of_the_file_is_noticed_once_and_a_broken_one_ignored(tmp_path: Path) -> None:
    load(tmp_path, MINIMAL)
    path, now_s = tmp_path / "cluster.toml", [0.0]
    watch = ConfigWatch(path, lambda: now_s[0])

    def poll() -> Config | None:
        now_s[0] += CHECK_EVERY_S
        return watch.poll()

    assert poll() is None
    path.write_text(MINIMAL + METALS)
    assert watch.poll() is None, "it looks once in a while only"
    found = poll()
    assert found is not None and list(found.groups) == ["main", "metals"]
    assert poll() is None
    path.write_text("no toml")
    assert poll() is None and poll() is None
    path.unlink()
    assert poll() is None
    path.write_text(MINIMAL)
    found = poll()
    assert found is not None and list(found.groups) == ["main"]
    assert load_config(path) == found
