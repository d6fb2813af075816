"""`tally admin certs`, as an operator uses it."""

import datetime
import ssl
from pathlib import Path

import pytest

from replication.config import Config, load_config
from replication.identity import GATEWAY, NODE, READER
from replication.tls import load_credentials
from sim.admin import main

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Production's, with the files beside it."""
    text = (CONFIGS / "production.toml").read_text().replace("/etc/tally/", "")
    (tmp_path / "production.toml").write_text(text)
    return load_config(tmp_path / "production.toml")


def certs(config: Config, *options: str, out: str = "tls") -> int:
    return main(["certs", "--config", str(config.path), "--out", str(config.path.parent / out), *options])


def test_one_call_makes_the_authority_and_every_node(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert certs(config) == 0
    for node_id in ("node-1", "node-2", "node-3"):
        load_credentials(config, NODE, node_id)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].rpartition("/")[2] for line in printed[:4]] == [
        "ca.crt and ca.key",
        "node-1.crt and node-1.key",
        "node-2.crt and node-2.key",
        "node-3.crt and node-3.key",
    ]
    assert printed[4].startswith("Copy each pair to its machine") and "ca.key off all of them" in printed[4]


def test_nodes_of_other_market_groups_get_theirs_too(config: Config) -> None:
    table = "".join(
        f'[groups.metals.nodes.node-{number}]\npeer = "10.0.9.2{number}:7301"\ndoor = "10.0.9.2{number}:7401"\n'
        for number in (2, 3, 4)
    )
    config.path.write_text(f"{config.path.read_text()}\n{table}")
    assert certs(config) == 0
    assert sorted(path.stem for path in config.ca_file.parent.glob("node-*.crt")) == [
        "node-1",
        "node-2",
        "node-3",
        "node-4",
    ]
    load_credentials(config, NODE, "node-4")


def test_single_ones_are_added_later_by_the_same_authority(config: Config) -> None:
    assert certs(config, "--node", "node-2") == 0
    authority = config.ca_file.read_bytes()
    assert certs(config, "--gateway", "gateway-1", "--gateway", "gateway-2", "--node", "node-1", "--days", "90") == 0
    assert config.ca_file.read_bytes() == authority
    load_credentials(config, NODE, "node-2")
    expires_s = load_credentials(config, GATEWAY, "gateway-2").expires_s
    in_90_days_s = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=90)).timestamp()
    assert expires_s == pytest.approx(in_90_days_s, abs=60)
    assert not config.certificate_file("node-3").exists()
    assert certs(config, "--reader", "reader-1") == 0
    load_credentials(config, READER, "reader-1")


def test_nothing_is_overwritten_and_renewal_goes_to_another_folder(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certs(config) == 0
    before = {path: path.read_bytes() for path in config.ca_file.parent.iterdir()}
    assert certs(config) == 1
    assert "node-1.crt exists and is not overwritten" in capsys.readouterr().err
    assert certs(config, "--ca", str(config.ca_file.parent), out="newer") == 0
    assert {path: path.read_bytes() for path in config.ca_file.parent.iterdir()} == before
    newer = config.path.parent / "newer"
    assert sorted(path.name for path in newer.glob("*.crt")) == ["node-1.crt", "node-2.crt", "node-3.crt"]
    # A renewed node links with those that are not renewed yet.
    (newer / "node-1.crt").rename(config.certificate_file("node-1"))
    (newer / "node-1.key").rename(config.key_file("node-1"))
    assert shake_hands(*link_ends(config, "node-1", "node-2"))
    assert shake_hands(*link_ends(config, "node-2", "node-1"))


def test_a_new_authority_is_taken_step_by_step(config: Config) -> None:
    """Three rolling restarts (docs/operations.md): at each step those who took it link with those who did not."""
    assert certs(config) == 0
    assert certs(config, out="newer") == 0
    newer = config.path.parent / "newer"
    own, others = config.ca_file.read_bytes(), (newer / "ca.crt").read_bytes()
    before = link_ends(config)
    config.ca_file.write_bytes(own + others)
    trusting_both = link_ends(config)
    for name in ("node-1.crt", "node-1.key", "node-2.crt", "node-2.key"):
        (newer / name).rename(config.ca_file.parent / name)
    renewed = link_ends(config)
    config.ca_file.write_bytes(others)
    after = link_ends(config)
    for one, other in ((before, trusting_both), (trusting_both, renewed), (renewed, after)):
        assert shake_hands(one[0], other[1]) and shake_hands(other[0], one[1])
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(before[0], after[1])


def link_ends(
    config: Config, client_id: str = "node-2", server_id: str = "node-1"
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What the two nodes have at this moment, as (who dials, who accepts)."""
    return (
        load_credentials(config, NODE, client_id).client_context,
        load_credentials(config, NODE, server_id).server_context,
    )


def shake_hands(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> bool:
    """Both ends of a handshake in memory. SSLError if one refuses the other."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    for end in (client, server) * 3:
        try:
            end.do_handshake()
            done.add(end)
        except ssl.SSLWantReadError:
            continue
    return len(done) == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--node", "node-9"), "there is no node 'node-9'; the file names node-1, node-2, node-3"),
        (("--gateway", "../evil"), "'../evil' is no name of a gateway: lower-case letters"),
        (("--gateway", "node-1"), "'node-1' is a node of "),
        (("--ca", "nowhere"), "nowhere/ca.crt cannot be read (No such file or directory)"),
    ],
)
def test_what_cannot_be_made_is_refused_and_leaves_nothing(
    config: Config, options: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert certs(config, *options) == 1
    assert complaint in capsys.readouterr().err
    assert not (config.path.parent / "tls").exists()


def test_the_authority_of_another_cluster_is_refused(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert certs(config) == 0
    text = config.path.read_text()
    config.path.write_text(text.replace(config.cluster_id.hex(), "0" * 32))
    assert certs(config, "--gateway", "gateway-1") == 1
    complaint = f"is the CA of cluster {config.cluster_id.hex()}, but {config.path} says cluster {'0' * 32}"
    assert complaint in capsys.readouterr().err


def test_half_an_authority_is_not_replaced(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert certs(config) == 0
    (config.ca_file.parent / "ca.key").unlink()
    assert certs(config, "--gateway", "gateway-1") == 1
    assert "ca.key cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("days", ["0", "-1", "3651", "a year"])
def test_a_silly_number_of_days_is_a_usage_error(config: Config, days: str) -> None:
    with pytest.raises(SystemExit):
        certs(config, "--days", days)


def test_a_folder_that_cannot_be_written_is_named(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    (config.path.parent / "tls").write_text("a file")
    assert certs(config) == 1
    assert "tls" in capsys.readouterr().err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["certs", "--help"]):
        with pytest.raises(SystemExit):
            main(arguments)
        assert "examples:\n  tally admin certs --config production.toml --out tls" in capsys.readouterr().out
