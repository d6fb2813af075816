"""What the CA signs, and what a process makes of its own files before it opens a port."""

import datetime
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from replication.certificates import Authority, CertificateError, make_certificates
from replication.config import Config, ConfigError, load_config
from replication.identity import GATEWAY, NODE, Identity
from replication.tls import load_credentials, read_identity

CLUSTER_ID = bytes.fromhex("00112233445566778899aabbccddeeff")
NODE_1 = Identity(CLUSTER_ID, NODE, "node-1")
GATEWAY_1 = Identity(CLUSTER_ID, GATEWAY, "gateway-1")
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
CONFIG = """
cluster_id = "00112233445566778899aabbccddeeff"
[nodes.node-1]
peer = "127.0.0.1:7101"
door = "127.0.0.1:7201"
[nodes.node-2]
peer = "127.0.0.1:7102"
door = "127.0.0.1:7202"
[nodes.node-3]
peer = "127.0.0.1:7103"
door = "127.0.0.1:7203"
"""


def make(tmp_path: Path, *identities: Identity, now: datetime.datetime = NOW, days: int = 90) -> Authority:
    """A CA and certificates in tls/, as `tally admin certs` writes them."""
    authority = Authority.create(CLUSTER_ID, now=now)
    (tmp_path / "tls").mkdir(exist_ok=True)
    authority.write(tmp_path / "tls")
    make_certificates(authority, identities, tmp_path / "tls", now=now, days=days)
    return authority


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "cluster.toml").write_text(CONFIG)
    return load_config(tmp_path / "cluster.toml")


def test_a_certificate_says_who_its_holder_is_and_for_how_long() -> None:
    authority = Authority.create(CLUSTER_ID, now=NOW)
    certificate, key = authority.issue(NODE_1, now=NOW, days=90)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [NODE_1.uri]
    assert certificate.not_valid_after_utc == NOW + datetime.timedelta(days=90)
    assert certificate.public_key() == key.public_key()
    certificate.verify_directly_issued_by(authority.certificate)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert authority.cluster_id == CLUSTER_ID.hex()


def test_only_a_nodes_certificate_may_accept_links() -> None:
    authority = Authority.create(CLUSTER_ID, now=NOW)
    purposes = {
        identity.role: set(
            authority.issue(identity, now=NOW, days=1)[0]
            .extensions.get_extension_for_class(x509.ExtendedKeyUsage)
            .value
        )
        for identity in (NODE_1, GATEWAY_1)
    }
    client, server = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
    assert purposes == {NODE: {client, server}, GATEWAY: {client}}


def test_no_certificate_outlives_its_authority() -> None:
    authority = Authority.create(CLUSTER_ID, now=NOW, days=30)
    certificate, _key = authority.issue(NODE_1, now=NOW, days=365)
    assert certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_an_authority_whose_time_is_over_signs_nothing(tmp_path: Path) -> None:
    authority = Authority.create(CLUSTER_ID, now=NOW - datetime.timedelta(days=10), days=10)
    with pytest.raises(CertificateError, match=r"The CA ended on .*: make a new one"):
        make_certificates(authority, [NODE_1], tmp_path / "tls", now=NOW, days=1)
    assert not (tmp_path / "tls").exists()


def test_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    make(tmp_path, NODE_1, GATEWAY_1)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "tls").iterdir()}
    assert {name for name, mode in modes.items() if mode == 0o600} == {"ca.key", "node-1.key", "gateway-1.key"}
    assert {name for name, mode in modes.items() if mode == 0o644} == {"ca.crt", "node-1.crt", "gateway-1.crt"}


@pytest.mark.parametrize("present", ["node-1.crt", "node-1.key"])
def test_nothing_is_overwritten_and_nothing_is_written_beside(tmp_path: Path, present: str) -> None:
    authority = Authority.create(CLUSTER_ID, now=NOW)
    (tmp_path / present).write_text("precious")
    with pytest.raises(CertificateError, match=rf"{present} exists and is not overwritten.*--out.*--ca"):
        make_certificates(authority, [GATEWAY_1, NODE_1], tmp_path, now=NOW, days=1)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(present, "precious")]
    (tmp_path / "ca.key").write_text("precious")
    with pytest.raises(FileExistsError):
        authority.write(tmp_path)


def test_an_authority_is_found_again(tmp_path: Path) -> None:
    written = make(tmp_path)
    found = Authority.load(tmp_path / "tls")
    assert found.certificate == written.certificate
    found.issue(NODE_1, now=NOW, days=1)[0].verify_directly_issued_by(written.certificate)


def test_a_broken_authority_is_named(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"ca\.crt cannot be read .*where both ca\.crt and ca\.key are"):
        Authority.load(tmp_path)
    make(tmp_path, NODE_1)
    tls = tmp_path / "tls"
    (tls / "ca.key").write_bytes((tls / "node-1.key").read_bytes())
    with pytest.raises(CertificateError, match=r"ca\.key is not the key of .*ca\.crt: put the pair back"):
        Authority.load(tls)
    (tls / "ca.key").write_text("nothing")
    with pytest.raises(CertificateError, match="no PEM files of a CA"):
        Authority.load(tls)


def test_a_process_with_the_right_files_gets_what_it_needs(tmp_path: Path, config: Config) -> None:
    make(tmp_path, NODE_1, GATEWAY_1)
    for identity in (NODE_1, GATEWAY_1):
        credentials = load_credentials(config, identity.role, identity.name)
        assert credentials.identity == identity
        assert credentials.expires_s == (NOW + datetime.timedelta(days=90)).timestamp()


def test_two_authorities_may_be_trusted_while_one_replaces_the_other(tmp_path: Path, config: Config) -> None:
    make(tmp_path, NODE_1)
    newer = Authority.create(CLUSTER_ID, now=NOW).certificate.public_bytes(serialization.Encoding.PEM)
    config.ca_file.write_bytes(newer + config.ca_file.read_bytes())
    assert len(load_credentials(config, NODE, "node-1").client_context.get_ca_certs()) == 2


def _another_ca(tmp_path: Path) -> None:
    other = Authority.create(CLUSTER_ID, now=NOW).certificate
    (tmp_path / "tls/ca.crt").write_bytes(other.public_bytes(serialization.Encoding.PEM))


def _another_key(tmp_path: Path) -> None:
    (tmp_path / "tls/node-1.key").write_bytes((tmp_path / "tls/ca.key").read_bytes())


@pytest.mark.parametrize(
    ("break_it", "complaint"),
    [
        (
            lambda path: (path / "tls/ca.crt").unlink(),
            r"ca\.crt \(ca_file of .*no such file: make it with `tally",
        ),
        (lambda path: (path / "tls/node-1.crt").unlink(), r"node-1\.crt \(certificate_file of .*no such file"),
        (lambda path: (path / "tls/node-1.key").unlink(), r"node-1\.key \(key_file of .*No such file"),
        (lambda path: (path / "tls/node-1.key").chmod(0o644), r"node-1\.key .*every user of this machine.*chmod 600"),
        (lambda path: (path / "tls/ca.crt").write_text("x"), r"ca\.crt .*is no PEM file"),
        (lambda path: (path / "tls/node-1.key").write_text("x"), r"node-1\.key .*is not the key of .*node-1\.crt"),
        (_another_key, r"node-1\.key .*is not the key of .*node-1\.crt: KEY_VALUES_MISMATCH"),
        (_another_ca, r"node-1\.crt .*was not signed by a CA in ca_file: all certificates must be made by the same CA"),
    ],
    ids=range(8),
)
def test_a_wrong_file_is_named_before_anything_starts(
    tmp_path: Path, config: Config, break_it: Callable[[Path], None], complaint: str
) -> None:
    make(tmp_path, NODE_1)
    break_it(tmp_path)
    with pytest.raises(ConfigError, match=complaint):
        load_credentials(config, NODE, "node-1")


@pytest.mark.parametrize(
    ("made", "days", "complaint"),
    [
        (NOW - datetime.timedelta(days=10), 5, r"node-1\.crt .*has expired on .*: renew it with `tally admin certs`"),
        (NOW + datetime.timedelta(days=1), 5, r"node-1\.crt .*is valid from .*: is this machine's clock right"),
    ],
)
def test_a_certificate_at_the_wrong_time_is_named(
    tmp_path: Path, config: Config, made: datetime.datetime, days: int, complaint: str
) -> None:
    make(tmp_path, NODE_1, now=made, days=days)
    with pytest.raises(ConfigError, match=complaint):
        load_credentials(config, NODE, "node-1")


def test_a_certificate_that_ends_soon_is_warned_of(
    tmp_path: Path, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, NODE_1, days=29)
    make_certificates(Authority.load(tmp_path / "tls"), [GATEWAY_1], tmp_path / "tls", now=NOW, days=31)
    load_credentials(config, GATEWAY, "gateway-1")
    assert caplog.messages == []
    load_credentials(config, NODE, "node-1")
    assert "node-1.crt" in caplog.text and "renew it with `tally admin certs`" in caplog.text


@pytest.mark.parametrize(
    ("holder", "found"),
    [
        (NODE_1._replace(name="node-2"), "node node-2 of cluster 0011"),
        (NODE_1._replace(role=GATEWAY), "gateway node-1 of cluster 0011"),
        (NODE_1._replace(cluster_id=b"d" * 16), "node node-1 of cluster 6464"),
    ],
)
def test_somebody_elses_certificate_is_named(tmp_path: Path, config: Config, holder: Identity, found: str) -> None:
    make(tmp_path, holder)
    for suffix in ("crt", "key"):
        (tmp_path / f"tls/{holder.name}.{suffix}").rename(tmp_path / f"tls/node-1.{suffix}")
    with pytest.raises(ConfigError, match=rf"is the certificate of {found}.*, that of node node-1 of cluster 0011"):
        load_credentials(config, NODE, "node-1")


@pytest.mark.parametrize(
    "names",
    [
        (),
        (("DNS", "node-1"),),
        (("URI", NODE_1.uri), ("URI", GATEWAY_1.uri)),
        (("URI", NODE_1.uri), ("DNS", "node-1")),
        (("URI", "https://example.org"),),
    ],
)
def test_a_certificate_that_names_nobody_or_two_is_nobodys(names: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(ValueError, match="names"):
        read_identity({"subjectAltName": names})
    with pytest.raises(ValueError, match="names"):
        read_identity(None)
