"""Who is at an end of a link, as its certificate says: a URI as the only subject alternative name (RFC 5280, 4.2.1.6).

    tally://<cluster id, 32 hexadecimal digits>/<role>/<name>
    tally://70726f64756374696f6e5f74616c6c79/node/node-1

The certificates of nodes and readers may open and accept links, the others may only open them. A gateway may send
commands and ask everything, an operator may ask everything and change the members, a reader (an exporter, a projector,
a query server) may only ask nodes for history, and answers gateways and operators about it.

Source: docs/adr/0015-links-speak-mutual-tls.md
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

NODE: Final = "node"
GATEWAY: Final = "gateway"
OPERATOR: Final = "operator"
READER: Final = "reader"
ACCEPT_LINKS: Final = (NODE, READER)
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
"""What nodes, gateways, operators and readers may be called."""

_URI: Final = re.compile(rf"tally://([0-9a-f]{{32}})/({NODE}|{GATEWAY}|{OPERATOR}|{READER})/({NAME.pattern})", re.ASCII)


class Identity(NamedTuple):
    """``cluster_id`` has 16 bytes, ``role`` is NODE, GATEWAY, OPERATOR or READER, ``name`` is unique in both."""

    cluster_id: bytes
    role: str
    name: str

    @property
    def uri(self) -> str:
        return f"tally://{self.cluster_id.hex()}/{self.role}/{self.name}"

    def __str__(self) -> str:
        return f"{self.role} {self.name} of cluster {self.cluster_id.hex()}"


def parse_identity(uri: str) -> Identity:
    """The reverse of :attr:`Identity.uri`. ValueError if the text is anything else."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise ValueError(f"{uri!r} names no node, gateway, operator or reader")
    return Identity(bytes.fromhex(match[1]), match[2], match[3])
