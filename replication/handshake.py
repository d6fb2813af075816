"""Mutual proof of a shared secret at the start of every link, peers and gateways alike. No I/O: frames in, frames out.

Each side sends HELLO (who am I, in which cluster, a fresh nonce). Having seen the other's HELLO it sends

    PROOF = HMAC-SHA256(secret, direction label | client's HELLO | server's HELLO)

The label differs by direction, so a proof cannot be sent back to its author; both nonces are inside, so a recorded
proof is worthless on another link. Until both proofs are checked nothing else is parsed and nothing else is sent.

Limit: the handshake authenticates the two ends of a link when it is opened. It does not encrypt, and it does not
protect the frames that follow from somebody who can rewrite traffic on the wire: links belong on loopback or a private
network. TLS underneath is the remedy and leaves this protocol as it is.
"""

import enum
import hashlib
import hmac
import re
import struct

PROTOCOL_VERSION = 1
SECRET_BYTES = 32
CLUSTER_ID_BYTES = 16
NONCE_BYTES = 16
HANDSHAKE_FRAME_BYTES_MAX = 256
"""Until the handshake is done no frame needs to be larger: owners of links should enforce it."""

_HELLO = 1
_PROOF = 2
# kind, protocol version, cluster id, role, nonce, length of the name that follows
_HELLO_HEAD = struct.Struct(f"<BH{CLUSTER_ID_BYTES}sB{NONCE_BYTES}sB")
_ROLE_CODES = {"node": 1, "gateway": 2}
_ROLES = {code: role for role, code in _ROLE_CODES.items()}
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CLIENT_LABEL = b"tallystick link v1, proof of the client"
_SERVER_LABEL = b"tallystick link v1, proof of the server"


class HandshakeRefused(Exception):
    """The other side may not speak to us; the message says why. The link must be closed."""


class _Stage(enum.Enum):
    AWAITS_HELLO = enum.auto()
    AWAITS_PROOF = enum.auto()
    DONE = enum.auto()
    REFUSED = enum.auto()


class Handshake:
    """One side of one handshake. Feed received frames to `receive`, send what `outgoing` returns, until `done`."""

    def __init__(
        self, *, secret: bytes, cluster_id: bytes, role: str, name: str, is_client: bool, nonce: bytes
    ) -> None:
        """`nonce` must be fresh random bytes (os.urandom). The client is the side that opened the link."""
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"the cluster secret has {SECRET_BYTES} bytes, not {len(secret)}")
        if len(cluster_id) != CLUSTER_ID_BYTES:
            raise ValueError(f"a cluster id has {CLUSTER_ID_BYTES} bytes, not {len(cluster_id)}")
        if not _NAME.fullmatch(name):
            raise ValueError(f"not a name for a link: {name!r}")
        assert len(nonce) == NONCE_BYTES, len(nonce)
        self._secret = secret
        self._cluster_id = cluster_id
        self._role = role
        self._name = name
        self._is_client = is_client
        self._nonce = nonce
        self._own_hello = _encode_hello(cluster_id, role, name, nonce)
        self._peer_hello = b""
        self._peer_name = ""
        self._peer_role = ""
        self._outgoing = [self._own_hello]
        self._stage = _Stage.AWAITS_HELLO

    @property
    def done(self) -> bool:
        """Whether the other side has proved that it knows the secret."""
        return self._stage is _Stage.DONE

    @property
    def peer_name(self) -> str:
        """Who the other side is; only once `done`."""
        assert self.done, "the name is not proved yet"
        return self._peer_name

    @property
    def peer_role(self) -> str:
        """What the other side is, "node" or "gateway"; only once `done`."""
        assert self.done, "the role is not proved yet"
        return self._peer_role

    def outgoing(self) -> list[bytes]:
        """Frames to send now, in order; each is returned once."""
        frames, self._outgoing = self._outgoing, []
        return frames

    def receive(self, frame: bytes) -> None:
        """Take one frame of the other side; HandshakeRefused if it may not speak to us."""
        try:
            if self._stage is _Stage.AWAITS_HELLO:
                self._receive_hello(frame)
            elif self._stage is _Stage.AWAITS_PROOF:
                self._receive_proof(frame)
            else:
                raise HandshakeRefused("a frame after the end of the handshake")
        except HandshakeRefused:
            self._stage = _Stage.REFUSED
            self._outgoing.clear()
            raise

    def _receive_hello(self, frame: bytes) -> None:
        if len(frame) < 3 or frame[0] != _HELLO:
            raise HandshakeRefused("the first frame is not a hello")
        # Version first: a later version may lay out the rest differently.
        version = int.from_bytes(frame[1:3], "little")
        if version != PROTOCOL_VERSION:
            raise HandshakeRefused(f"protocol version {version}, ours is {PROTOCOL_VERSION}")
        if len(frame) < _HELLO_HEAD.size:
            raise HandshakeRefused("a hello that is too short")
        _kind, _version, cluster_id, role_code, nonce, name_bytes = _HELLO_HEAD.unpack_from(frame)
        name = frame[_HELLO_HEAD.size :].decode("ascii", errors="replace")
        if len(frame) - _HELLO_HEAD.size != name_bytes or not _NAME.fullmatch(name):
            raise HandshakeRefused("a hello without a proper name")
        if role_code not in _ROLES:
            raise HandshakeRefused(f"unknown role {role_code}")
        if cluster_id != self._cluster_id:
            raise HandshakeRefused(f"cluster id {cluster_id.hex()}, ours is {self._cluster_id.hex()}")
        if nonce == self._nonce:
            raise HandshakeRefused("our own hello was sent back to us")
        if (name, _ROLES[role_code]) == (self._name, self._role):
            raise HandshakeRefused(f"the other side calls itself {name!r}, which is our own name")
        self._peer_hello = frame
        self._peer_name = name
        self._peer_role = _ROLES[role_code]
        self._outgoing.append(bytes([_PROOF]) + self._proof(by_client=self._is_client))
        self._stage = _Stage.AWAITS_PROOF

    def _receive_proof(self, frame: bytes) -> None:
        if not frame or frame[0] != _PROOF:
            raise HandshakeRefused("the second frame is not a proof")
        if not hmac.compare_digest(frame[1:], self._proof(by_client=not self._is_client)):
            raise HandshakeRefused("wrong secret")
        self._stage = _Stage.DONE

    def _proof(self, *, by_client: bool) -> bytes:
        if self._is_client:
            client_hello, server_hello = self._own_hello, self._peer_hello
        else:
            client_hello, server_hello = self._peer_hello, self._own_hello
        label = _CLIENT_LABEL if by_client else _SERVER_LABEL
        # A hello states the length of its name, so the concatenation can be read in one way only.
        return hmac.new(self._secret, label + client_hello + server_hello, hashlib.sha256).digest()


def _encode_hello(cluster_id: bytes, role: str, name: str, nonce: bytes) -> bytes:
    if role not in _ROLE_CODES:
        raise ValueError(f"unknown role {role!r}")
    head = _HELLO_HEAD.pack(_HELLO, PROTOCOL_VERSION, cluster_id, _ROLE_CODES[role], nonce, len(name))
    return head + name.encode("ascii")
