"""How a link begins, peers and gateways alike. No I/O.

::

    client                                         server
      |  TLS 1.3, both certificates (replication.tls) |
      |<--------------------------------------------->|
      |                                               |  is this certificate's holder welcome here?
      |                                       HELLO   |
      |<----------------------------------------------|
      |  is this the node that I dialled?             |
      |  HELLO                                        |
      |---------------------------------------------->|
      |                  frames                       |

TLS proves that both certificates are of this cluster's CA; :func:`require_peer` then looks at whom they name. The HELLO
says the version of what follows, and which market group the link is about (``replication.market_groups``): a node may
host replicas of several. Who the sender is, its certificate has said. In TLS 1.3 a client
is ready before the server has seen the client's certificate, so the server's HELLO also says "you are welcome": only
then does the client take the link for open and send anything.

Source: docs/adr/0015-links-speak-mutual-tls.md
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Final

from replication.identity import Identity

PROTOCOL_VERSION: Final = 2
HANDSHAKE_FRAME_BYTES_MAX: Final = 64
"""Until the handshake is done no frame needs to be larger: owners of links should enforce it."""

_VERSION: Final = struct.Struct("<5sH")
_MAGIC: Final = b"tally"


class HandshakeRefused(Exception):
    """The other side may not speak to us; the message says why. The link must be closed."""


def hello(group_id: bytes) -> bytes:
    """The first frame of a link about the group with this id of 16 bytes."""
    return _VERSION.pack(_MAGIC, PROTOCOL_VERSION) + group_id


def check_hello(frame: bytes, group_id: bytes) -> None:
    """HandshakeRefused if a link's first frame is not a HELLO of our version, or about another group."""
    # Another version may say something else behind these fields.
    if len(frame) < _VERSION.size or not frame.startswith(_MAGIC):
        raise HandshakeRefused("its first frame is not a hello")
    _magic, version = _VERSION.unpack_from(frame)
    if version != PROTOCOL_VERSION:
        raise HandshakeRefused(
            f"it speaks version {version} of the link protocol, this process version {PROTOCOL_VERSION}: "
            "install the same version of Tallystick on both machines"
        )
    if frame[_VERSION.size :] != group_id:
        raise HandshakeRefused(
            "it is a replica of another market group, or looks for one: correct the addresses in the configuration"
        )


def require_peer(
    peer: Identity, *, cluster_id: bytes, roles: Collection[str], names: Collection[str] | None = None
) -> None:
    """HandshakeRefused unless the certificate is of this cluster, one of these roles and, if given, of these names."""
    if peer.cluster_id != cluster_id:
        raise HandshakeRefused(
            f"its certificate is that of {peer}, but this is cluster {cluster_id.hex()}: "
            "correct the addresses or cluster_id in the configuration"
        )
    if peer.role not in roles:
        welcome = " or ".join(sorted(roles))
        raise HandshakeRefused(
            f"its certificate is that of {peer.role} {peer.name}, but only a {welcome} may be at this end: "
            "correct the addresses, or give it a certificate of that role"
        )
    if names is not None and peer.name not in names:
        expected = " or ".join(sorted(names))
        raise HandshakeRefused(
            f"its certificate is that of {peer.role} {peer.name}, expected was {expected}: "
            "correct the addresses in the configuration, or give it its own certificate"
        )
