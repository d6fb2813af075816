"""TLS as the links speak it: version 1.3 only, both ends with a certificate of the cluster's own CA.

:func:`load_credentials` checks all that can be checked at the start, so that a wrong file stops a process with one
sentence instead of a cluster that does not come together. :func:`refusal_reason` says why a handshake failed.

Not used, on purpose: the system's list of authorities, host names (the certificate says the node's name, and the
configuration says where that node is), session tickets (each link proves both identities anew), and TLS 1.2 with its
renegotiation.

Source: RFC 8446; docs/adr/0015-links-speak-mutual-tls.md
"""

from __future__ import annotations

import datetime
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from replication.config import Config, ConfigError, require_private
from replication.identity import Identity, parse_identity

RENEW_WITHIN_DAYS: Final = 30

# X509_V_ERR_... of OpenSSL's x509_vfy.h.
_NOT_YET_VALID: Final = frozenset((9, 13))
_EXPIRED: Final = frozenset((10, 14))
_UNKNOWN_AUTHORITY: Final = frozenset((2, 7, 18, 19, 20, 21))
_WRONG_PURPOSE: Final = 26

_FOREIGN: Final = (
    "its certificate was not signed by this cluster's CA (ca_file): give both ends certificates of the same CA"
)
_REASONS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it showed no certificate: give it one of this cluster (tally admin certs)",
    "UNSUPPORTED_PROTOCOL": "it does not speak TLS 1.3",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it does not speak TLS 1.3",
    "HTTP_REQUEST": "it speaks HTTP, not TLS: this is no port for it",
    "WRONG_VERSION_NUMBER": "it does not speak TLS: only nodes and gateways of this version may come here",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it says that our certificate has expired: renew it (tally admin certs)",
    "TLSV1_ALERT_UNKNOWN_CA": "it says that our certificate was signed by another CA than its own (ca_file)",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LinkCredentials:
    """Who this process is, and what it proves it with. ``expires_s`` is when its certificate ends, in POSIX seconds."""

    identity: Identity
    expires_s: float
    client_context: ssl.SSLContext
    server_context: ssl.SSLContext


def load_credentials(config: Config, role: str, name: str) -> LinkCredentials:
    """The credentials that the configuration names for one node or gateway. ConfigError if they cannot be used."""
    identity = Identity(config.cluster_id, role, name)
    certificate_file, key_file = config.certificate_file(name), config.key_file(name)
    where = f"{certificate_file} (certificate_file of {config.path.name})"
    certificate = _read_certificates(certificate_file, where)[0]
    authorities = _read_certificates(config.ca_file, f"{config.ca_file} (ca_file of {config.path.name})")
    key_where = f"{key_file} (key_file of {config.path.name})"
    require_private(key_file, key_where)
    _check_own(certificate, authorities, identity, where)
    contexts = []
    for protocol in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER):
        try:
            contexts.append(link_context(protocol, config.ca_file, certificate_file, key_file))
        except ssl.SSLError as error:
            raise ConfigError(f"{key_where}: is not the key of {certificate_file}: {error.reason}") from None
    client_context, server_context = contexts
    return LinkCredentials(identity, certificate.not_valid_after_utc.timestamp(), client_context, server_context)


def link_context(protocol: int, ca_file: Path, certificate_file: Path, key_file: Path) -> ssl.SSLContext:
    """What ``ssl`` needs for one end of links: PROTOCOL_TLS_CLIENT dials, PROTOCOL_TLS_SERVER accepts."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    context.load_verify_locations(ca_file)
    context.load_cert_chain(certificate_file, key_file)
    return context


def read_identity(certificate: Mapping[str, Any] | None) -> Identity:
    """Whom a verified certificate names, as ``SSLObject.getpeercert`` gives it. ValueError if nobody."""
    names = (certificate or {}).get("subjectAltName", ())
    if len(names) != 1 or names[0][0] != "URI":
        raise ValueError(f"the certificate names {len(names)} holders, or not by a URI")
    return parse_identity(names[0][1])


def refusal_reason(error: ssl.SSLError) -> str:
    """Why a handshake failed, seen from here: what is wrong with the other side ("it"), and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _EXPIRED:
            return "its certificate has expired: renew it (tally admin certs), or correct this machine's clock"
        if error.verify_code in _NOT_YET_VALID:
            return "its certificate is not valid yet: correct the clocks of both machines"
        if error.verify_code in _UNKNOWN_AUTHORITY:
            return _FOREIGN
        if error.verify_code == _WRONG_PURPOSE:
            return "its certificate may not accept links: a gateway's certificate stands where a node's is needed"
        return f"its certificate is not accepted: {error.verify_message}"
    reason = error.reason or str(error)
    if reason in _REASONS:
        return _REASONS[reason]
    if "ALERT" in reason:
        return f"it refused us ({reason}): its log says why"
    return f"it does not speak TLS as it should ({reason})"


def _read_certificates(file: Path, where: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"{where}: there is no such file: make it with `tally admin certs`") from None
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{where}: is no PEM file of a certificate: {error}") from None


def _check_own(
    certificate: x509.Certificate, authorities: list[x509.Certificate], identity: Identity, where: str
) -> None:
    """Say now what the other ends would object to later."""
    found = _own_identity(certificate)
    if found != identity:
        raise ConfigError(f"{where}: is the certificate of {found or 'nobody'}, that of {identity} is needed")
    if not any(_was_signed_by(certificate, authority) for authority in authorities):
        raise ConfigError(f"{where}: was not signed by a CA in ca_file: all certificates must be made by the same CA")
    now = datetime.datetime.now(datetime.UTC)
    if now < certificate.not_valid_before_utc:
        begins = certificate.not_valid_before_utc
        raise ConfigError(f"{where}: is valid from {begins:%Y-%m-%d %H:%M} UTC only: is this machine's clock right?")
    ends = certificate.not_valid_after_utc
    if ends <= now:
        raise ConfigError(f"{where}: has expired on {ends:%Y-%m-%d}: renew it with `tally admin certs`")
    if ends - now < datetime.timedelta(days=RENEW_WITHIN_DAYS):
        logger.warning("%s: expires on %s: renew it with `tally admin certs`", where, f"{ends:%Y-%m-%d}")


def _own_identity(certificate: x509.Certificate) -> Identity | None:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        return parse_identity(uri)
    except (x509.ExtensionNotFound, ValueError):
        return None


def _was_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
