"""Makes certificates: one authority (CA) per cluster, which signs one certificate per node and per gateway.

::

    ca.crt        the authority's certificate: every node and gateway trusts what it signed, and nothing else
    ca.key        signs certificates; needed by no process of the cluster, so it is kept somewhere safe
    node-1.crt    who node-1 is (replication.identity), for both ends of its links
    node-1.key    proves it
    gateway-1.crt, gateway-1.key

All keys are Ed25519, all files PEM, key files readable by their owner only. Nothing is ever overwritten.

Source: RFC 5280 for the fields; docs/adr/0015-links-speak-mutual-tls.md
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from replication.identity import ACCEPT_LINKS, Identity
from replication.private_directory import create_private_directory, sync_directory, write_new_file

CA_CERTIFICATE: Final = "ca.crt"
CA_KEY: Final = "ca.key"
CA_DAYS: Final = 3_650

_NAME_OF_CA: Final = "Tallystick authority of cluster "
# Machines of one cluster may disagree a little about the time when the first links are opened.
_BACKDATED: Final = datetime.timedelta(hours=1)


class CertificateError(Exception):
    """Certificates cannot be made. The text is one sentence that says what to do."""


class Authority:
    """A cluster's CA. ``certificate`` is public; whoever has the key can make nodes and gateways."""

    def __init__(self, certificate: x509.Certificate, key: Ed25519PrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @classmethod
    def create(cls, cluster_id: bytes, *, now: datetime.datetime, days: int = CA_DAYS) -> Authority:
        """A new authority with a key of its own."""
        key = Ed25519PrivateKey.generate()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME_OF_CA + cluster_id.hex())])
        builder = _builder(name, name, key.public_key(), key, now, now + datetime.timedelta(days=days))
        # It signs certificates of nodes and gateways, and no further authorities.
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_key_usage(signs_certificates=True), critical=True)
        return cls(builder.sign(key, algorithm=None), key)

    @classmethod
    def load(cls, directory: Path) -> Authority:
        """The authority whose two files are in a folder. CertificateError if they are not, or do not fit."""
        certificate_file, key_file = directory / CA_CERTIFICATE, directory / CA_KEY
        try:
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
            key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        except OSError as error:
            raise CertificateError(
                f"{error.filename} cannot be read ({error.strerror}): certificates are made where both "
                f"{CA_CERTIFICATE} and {CA_KEY} are."
            ) from None
        except (ValueError, TypeError) as error:
            raise CertificateError(f"{certificate_file} and {key_file} are no PEM files of a CA: {error}.") from None
        if not isinstance(key, Ed25519PrivateKey) or key.public_key() != certificate.public_key():
            raise CertificateError(f"{key_file} is not the key of {certificate_file}: put the pair back from a copy.")
        return cls(certificate, key)

    def write(self, directory: Path) -> None:
        """Write both files. FileExistsError if one is there."""
        _write_pair(directory / CA_CERTIFICATE, self.certificate, directory / CA_KEY, self._key)

    @property
    def cluster_id(self) -> str:
        """The cluster whose authority this is, in hexadecimal digits."""
        names = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value).removeprefix(_NAME_OF_CA) if names else ""

    def issue(
        self, identity: Identity, *, now: datetime.datetime, days: int
    ) -> tuple[x509.Certificate, Ed25519PrivateKey]:
        """A certificate for ``days``, but never longer than the authority's own, and the key that belongs to it."""
        key = Ed25519PrivateKey.generate()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{identity.role} {identity.name}")])
        until = min(now + datetime.timedelta(days=days), self.certificate.not_valid_after_utc)
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if identity.role in ACCEPT_LINKS:
            purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
        builder = _builder(name, self.certificate.subject, key.public_key(), self._key, now, until)
        for extension, critical in (
            (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity.uri)]), False),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_key_usage(signs_certificates=False), True),
            (x509.ExtendedKeyUsage(purposes), False),
        ):
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, algorithm=None), key


def make_certificates(
    authority: Authority, identities: Sequence[Identity], directory: Path, *, now: datetime.datetime, days: int
) -> list[tuple[Path, datetime.datetime]]:
    """Write a certificate and a key for each identity. Answers the certificates' files and when each ends.

    CertificateError, before anything is written, if a file exists or if the authority's time is over; OSError if the
    folder cannot be written.
    """
    if authority.certificate.not_valid_after_utc <= now:
        ended = authority.certificate.not_valid_after_utc
        raise CertificateError(f"The CA ended on {ended:%Y-%m-%d}: make a new one in another folder.")
    files = [directory / f"{identity.name}{suffix}" for identity in identities for suffix in (".crt", ".key")]
    for file in files:
        if file.exists():
            raise CertificateError(
                f"{file} exists and is not overwritten: to renew it, write into another folder with --out and say "
                "where the CA is with --ca."
            )
    create_private_directory(directory)
    made = []
    for identity in identities:
        certificate, key = authority.issue(identity, now=now, days=days)
        certificate_file = directory / f"{identity.name}.crt"
        _write_pair(certificate_file, certificate, directory / f"{identity.name}.key", key)
        made.append((certificate_file, certificate.not_valid_after_utc))
    return made


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: Ed25519PublicKey,
    issuer_key: Ed25519PrivateKey,
    now: datetime.datetime,
    until: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_pair(certificate_file: Path, certificate: x509.Certificate, key_file: Path, key: Ed25519PrivateKey) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_new_file(key_file, private, mode=0o600)
    write_new_file(certificate_file, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)
    sync_directory(certificate_file.parent)
