"""One connection to the query server: uvicorn's protocol, for gateways and operators of this cluster only.

TLS has checked that the certificate is one of the cluster's CA. Which roles may ask is decided here, before a byte of a
request is read. Whoever may ask is believed who the caller is: gateways have authenticated it.

Source: docs/adr/0015-links-speak-mutual-tls.md, docs/adr/0028-history-is-asked-of-a-query-server.md
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from replication.handshake import HandshakeRefused, require_peer
from replication.identity import GATEWAY, OPERATOR
from replication.refusals import Refusals
from replication.tls import read_identity

MAY_ASK: Final = (GATEWAY, OPERATOR)

logger = logging.getLogger(__name__)


class QueryConnection(HttpToolsProtocol):
    """``app_state`` has the ``cluster_id`` and the ``refusals`` of the server; the lifespan puts them there."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._cluster_id: bytes = app_state["cluster_id"]
        self._refusals: Refusals = app_state["refusals"]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        try:
            peer = read_identity(transport.get_extra_info("peercert"))
            require_peer(peer, cluster_id=self._cluster_id, roles=MAY_ASK)
        except (HandshakeRefused, ValueError) as error:
            self._refusals.warn(f"whoever dials from {self.client[0]}" if self.client else "whoever dials", error)
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)
