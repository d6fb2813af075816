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
says which versions of what follows its sender speaks, and which market group the link is about
(``replication.market_groups``): a node may host replicas of several. Both ends speak the newest version that both know.
Who the sender is, its certificate has said. In TLS 1.3 a client is ready before the server has seen the client's
certificate, so the server's HELLO also says "you are welcome": only then does the client take the link for open and
send anything.

Source: docs/adr/0015-links-speak-mutual-tls.md
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Final, NamedTuple

from replication.identity import Identity

OLDEST_VERSION: Final = 3
NEWEST_VERSION: Final = 3
"""The versions of the link protocol that this build speaks, both included.

A change that an earlier build would misread makes a newer version, and the build that makes it goes on speaking the one
before: a cluster is upgraded one node at a time. A field that is added behind the others of a message, with a default,
makes none: who does not know it does not read it.
"""
HANDSHAKE_FRAME_BYTES_MAX: Final = 64
"""Until the handshake is done no frame needs to be larger: owners of links should enforce it."""

# Magic and newest version, as in every version there was. Then, in this one: the group's id and the oldest version.
_VERSION: Final = struct.Struct("<5sH")
_REST: Final = struct.Struct("<16sH")
_MAGIC: Final = b"tally"


class HandshakeRefused(Exception):
    """The other side may not speak to us; the message says why. The link must be closed."""


class Spoken(NamedTuple):
    """A range of versions, both ends included."""

    oldest: int
    newest: int

    def __str__(self) -> str:
        return f"version {self.newest}" if self.oldest == self.newest else f"versions {self.oldest} to {self.newest}"


SPOKEN: Final = Spoken(OLDEST_VERSION, NEWEST_VERSION)


def hello(group_id: bytes, spoken: Spoken = SPOKEN) -> bytes:
    """The first frame of a link about the group with this id of 16 bytes."""
    return _VERSION.pack(_MAGIC, spoken.newest) + _REST.pack(group_id, spoken.oldest)


def check_hello(frame: bytes, group_id: bytes, spoken: Spoken = SPOKEN) -> int:
    """The version that both ends speak. HandshakeRefused if a link's first frame is not a HELLO, if there is no such
    version, or if the link is about another group.
    """
    if len(frame) < _VERSION.size or not frame.startswith(_MAGIC):
        raise HandshakeRefused("its first frame is not a hello")
    _magic, newest = _VERSION.unpack_from(frame)
    # Before version 3 a hello said one version; a later one may say more behind these fields.
    rest = frame[_VERSION.size :]
    group, oldest = _REST.unpack_from(rest) if len(rest) >= _REST.size else (rest, newest)
    agreed: int = min(newest, spoken.newest)
    if agreed < max(oldest, spoken.oldest):
        raise HandshakeRefused(
            f"it speaks {Spoken(oldest, newest)} of the link protocol, this process {spoken}: install a version of "
            "Tallystick that speaks with both, or stop all and start all with the same one"
        )
    if group != group_id:
        raise HandshakeRefused(
            "it is a replica of another market group, or looks for one: correct the addresses in the configuration"
        )
    return agreed


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
