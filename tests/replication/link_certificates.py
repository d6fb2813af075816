"""Real certificates for tests of links: good ones, and each kind of bad one."""

import datetime
import functools
import ssl
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from replication.certificates import Authority
from replication.identity import GATEWAY, NODE, OPERATOR, READER, Identity
from replication.tls import LinkCredentials, link_context

CLUSTER_ID = bytes(range(16))
NOW = datetime.datetime.now(datetime.UTC)


@functools.cache
def authority(name: str = "the cluster's own") -> Authority:
    """One CA for each name; all say that they are the cluster's."""
    return Authority.create(CLUSTER_ID, now=NOW)


def node(name: str, **how: object) -> LinkCredentials:
    return credentials(Identity(CLUSTER_ID, NODE, name), **how)


def gateway(name: str = "gateway-1", **how: object) -> LinkCredentials:
    return credentials(Identity(CLUSTER_ID, GATEWAY, name), **how)


def operator(name: str = "operator-1", **how: object) -> LinkCredentials:
    return credentials(Identity(CLUSTER_ID, OPERATOR, name), **how)


def reader(name: str = "reader-1", **how: object) -> LinkCredentials:
    return credentials(Identity(CLUSTER_ID, READER, name), **how)


@functools.cache
def credentials(
    identity: Identity,
    *,
    signed_by: str = "the cluster's own",
    trusts: str = "the cluster's own",
    made: datetime.datetime = NOW,
    days: int = 10,
) -> LinkCredentials:
    """What a process has whose certificate is as described, made as `load_credentials` makes it but for its checks."""
    certificate, key = authority(signed_by).issue(identity, now=made, days=days)
    with tempfile.TemporaryDirectory() as folder:
        ca_file, certificate_file, key_file = (Path(folder, name) for name in ("ca.crt", "it.crt", "it.key"))
        ca_file.write_bytes(authority(trusts).certificate.public_bytes(serialization.Encoding.PEM))
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        client_context, server_context = (
            link_context(protocol, ca_file, certificate_file, key_file)
            for protocol in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER)
        )
    expires_s = certificate.not_valid_after_utc.timestamp()
    return LinkCredentials(identity, expires_s, client_context, server_context)
