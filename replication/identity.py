"""Who is at an end of a link, as its certificate says: a URI as the only subject alternative name (RFC 5280, 4.2.1.6).

    tally://<cluster id, 32 hexadecimal digits>/<role>/<name>
    tally://70726f64756374696f6e5f74616c6c79/node/node-1

A node's certificate may open and accept links, that of a gateway or an operator may only open them.

Source: docs/adr/0015-links-speak-mutual-tls.md
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

NODE: Final = "node"
GATEWAY: Final = "gateway"
OPERATOR: Final = "operator"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}", re.ASCII)
"""What nodes, gateways and operators may be called."""

_URI: Final = re.compile(rf"tally://([0-9a-f]{{32}})/({NODE}|{GATEWAY}|{OPERATOR})/({NAME.pattern})", re.ASCII)


class Identity(NamedTuple):
    """``cluster_id`` has 16 bytes, ``role`` is NODE, GATEWAY or OPERATOR, ``name`` is unique in both."""

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
        raise ValueError(f"{uri!r} names no node, no gateway and no operator")
    return Identity(bytes.fromhex(match[1]), match[2], match[3])
