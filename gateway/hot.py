"""The hot path: placing an order without a task, a routing table or an ASGI message.

A placement is answered by the connection itself, in two callbacks: one when its last byte is there, one when its
outcome is. This is the same request as ``placements.place`` answers, read and rendered by the same functions, at a
fraction of the cost; the tests run the same cases through both.

uvicorn's own bookkeeping goes on underneath (one cycle per request, keep-alive, pipelining, graceful shutdown). The
only thing that changes is that the start of the application's task is put off until the whole request is there. If it
cannot be answered here (a key or a market not met before, a large body, a slow reader, a pipelined request), the
task starts after all and the plain route answers.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Final

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from engine.codec import encode_command
from gateway.app import PLACE_PATH, PLACE_ROUTE_NAME
from gateway.auth import read_signature
from gateway.connection import Connection
from gateway.edge import Edge
from gateway.endpoint import BODY_BYTES_MAX, Reply, encode_body, error_reply
from gateway.errors import ApiError, Internal
from gateway.outcomes import Outcome
from gateway.placements import placement_reply, read_placement, read_placement_document
from gateway.rendering import Market

_PLACE_TARGET: Final = PLACE_PATH.encode("ascii")

logger = logging.getLogger(__name__)


class HotConnection(Connection):
    """A connection that answers placements itself."""

    _held: RequestResponseCycle | None = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Put the start off if this may be a placement whose body is still to come."""
        if (
            self.url == _PLACE_TARGET
            and cycle is self.cycle
            and cycle.more_body
            and cycle.scope["method"] == "POST"
            and not cycle.waiting_for_100_continue
            and not self.flow.write_paused
            and app is self.app
        ):
            self._held = cycle
        else:
            super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self._held is not None and len(self._held.body) > BODY_BYTES_MAX:
            self._release(self._held)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        cycle = self._held
        if cycle is not None and not self._place(cycle):
            self._release(cycle)
        self._held = None

    def _release(self, cycle: RequestResponseCycle) -> None:
        self._held = None
        super()._start_asgi_task(cycle, self.app)

    def _place(self, cycle: RequestResponseCycle) -> bool:
        """Send the order of a complete request. False if only the plain route can."""
        started_s = time.perf_counter()
        edge = self.edge
        try:
            signed = read_signature(cycle.scope["headers"], time.time_ns())
            caller = edge.keys.known(signed.key_id)
            if caller is None:
                return False
            caller.verify(signed, b"POST", _PLACE_TARGET, cycle.body)
            document = read_placement_document(cycle.body)
            market = edge.directory.markets.get(document["market"])
            if market is None:
                lists = edge.knows_market(document["market"])
                if lists is None:
                    return False
                edge, market = lists, lists.directory.markets[document["market"]]
            account_id = edge.members.known(caller.account_id)
            if account_id is None:
                return False
            command = read_placement(
                document,
                account_id=account_id,
                issued_at_ns=signed.issued_at_ns,
                market_id=market.market_id,
                id_if_none=edge.new_id,
            )
            edge.group.submit(encode_command(command), partial(self._on_outcome, cycle, edge, market, started_s))
        except ApiError as error:
            self._answer(cycle, edge, error_reply(error), started_s)
        except Exception:
            logger.exception("placing an order failed")
            self._answer(cycle, edge, error_reply(Internal(definite=True)), started_s)
        return True

    def _on_outcome(
        self, cycle: RequestResponseCycle, edge: Edge, market: Market, started_s: float, outcome: Outcome | ApiError
    ) -> None:
        try:
            reply = error_reply(outcome) if isinstance(outcome, ApiError) else placement_reply(market, outcome)
        except ApiError as error:
            reply = error_reply(error)
        except Exception:
            logger.exception("rendering the outcome of an order failed")
            reply = error_reply(Internal(definite=False))
        self._answer(cycle, edge, reply, started_s)

    def _answer(self, cycle: RequestResponseCycle, edge: Edge, reply: Reply, started_s: float) -> None:
        """Write the response and let uvicorn's bookkeeping go on as after one of its own."""
        self.edge.metrics.route(PLACE_ROUTE_NAME).observe(reply.status, time.perf_counter() - started_s)
        if cycle.disconnected:
            return
        assert isinstance(reply.body, dict), reply
        content = encode_body(reply.body)
        parts = [STATUS_LINE[reply.status]]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        parts.append(
            b"content-type: application/json\r\ncontent-length: %d\r\n"
            b"x-tally-sequence: %d\r\ncache-control: no-store\r\n" % (len(content), edge.group.sequence)
        )
        parts.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        parts.append(content)
        self.transport.write(b"".join(parts))
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()
