"""A whole gateway over real sockets, in a thread of its own, and a client that signs."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import uvicorn
import uvloop

from gateway.connection import Connection
from gateway.hot import HotConnection
from gateway.serve import GatewayOptions, GroupDoors, build_server
from replication.tls import LinkCredentials
from tests.gateway.one_replica import OneReplicaGroup
from tests.replication.link_certificates import CLUSTER_ID
from tests.replication.link_certificates import gateway as gateway_credentials

MASTER_KEY = bytes(range(100, 132))
OPERATOR = ("operator-1", "a secret that nobody guesses")

T = TypeVar("T")


class Response(NamedTuple):
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def code(self) -> str:
        """The error's code, or "" for a success."""
        return str(self.body["error"]["code"]) if "error" in self.body else ""


class Client:
    """A keep-alive connection of one API key; ``key`` None sends unsigned requests."""

    def __init__(self, port: int, key: tuple[str, str] | None) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
        self.key = key

    def __call__(
        self, method: str, path: str, body: object = None, *, raw: bytes | None = None, shift_ms: int = 0
    ) -> Response:
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        headers = {} if self.key is None else signature_headers(self.key, method, path, content, shift_ms)
        self.connection.request(method, path, content or None, headers)
        response = self.connection.getresponse()
        text = response.read()
        is_json = response.headers["content-type"] == "application/json"
        return Response(response.status, json.loads(text) if is_json and text else text, dict(response.headers.items()))

    def close(self) -> None:
        self.connection.close()


def signature_headers(key: tuple[str, str], method: str, target: str, body: bytes, shift_ms: int = 0) -> dict[str, str]:
    timestamp = str(time.time_ns() // 1_000_000 + shift_ms)
    message = f"{timestamp}\n{method}\n{target}\n".encode() + body
    return {
        "X-Tally-Key": key[0],
        "X-Tally-Timestamp": timestamp,
        "X-Tally-Signature": hmac.new(key[1].encode(), message, hashlib.sha256).hexdigest(),
    }


class LiveGateway:
    """A context manager: doors and gateway run inside, on one event loop in a thread, of the kind that serves."""

    def __init__(
        self,
        *,
        hot: bool = True,
        group: OneReplicaGroup | None = None,
        credentials: LinkCredentials | None = None,
        operator: tuple[str, str] | None = OPERATOR,
        request_timeout_ms: int = 3_000,
        receive_timeout_ms: int = 3_000,
        others: dict[str, OneReplicaGroup] | None = None,
        query_server: tuple[str, int] | None = None,
    ) -> None:
        """``others`` are the market groups beside the home; one that is put there later is found within a second."""
        self.group = group or OneReplicaGroup()
        self._credentials = credentials or gateway_credentials()
        self.others = others or {}
        self._started_others = set(self.others)
        self._query_server = query_server
        self._hot = hot
        self._operator = operator
        self._request_timeout_ms = request_timeout_ms
        self._receive_timeout_ms = receive_timeout_ms
        self._clients: list[Client] = []
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()))

    def __enter__(self) -> LiveGateway:
        self._thread.start()
        assert self._listening.wait(10), "the gateway does not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.close()
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive(), "the gateway does not stop"

    def client(self, key: tuple[str, str] | None) -> Client:
        client = Client(self.port, key)
        self._clients.append(client)
        return client

    def operator(self) -> Client:
        self.wait_until_ready()
        return self.client(OPERATOR)

    def wait_until_ready(self) -> None:
        client = self.client(None)
        until_s = time.monotonic() + 10
        while client("GET", "/readyz").status != 200:
            assert time.monotonic() < until_s, "the gateway does not become ready"
            time.sleep(0.01)

    def socket(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=15)

    def on_loop(self, function: Callable[[], T]) -> T:
        """Run something where doors and gateway run, and wait for it."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The same of something that takes its time."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        for group in (self.group, *self.others.values()):
            await group.open()
        self.server = self._build()
        serving = self._loop.create_task(self.server.serve())
        while not self.server.started:
            await asyncio.sleep(0.005)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self._listening.set()
        await serving
        for group in (self.group, *self.others.values()):
            group.close()

    async def add_group(self, name: str, group: OneReplicaGroup) -> None:
        await group.open()
        self.others[name] = group

    def _other_doors(self) -> dict[str, GroupDoors]:
        return {
            name: GroupDoors(CLUSTER_ID, {node_id: door.address for node_id, door in group.doors.items()})
            for name, group in self.others.items()
        }

    def _poll_groups(self) -> dict[str, GroupDoors] | None:
        if self._started_others == set(self.others):
            return None
        self._started_others = set(self.others)
        return self._other_doors()

    def options(self) -> GatewayOptions:
        """What reaches the doors, once they are open."""
        return GatewayOptions(
            host="127.0.0.1",
            port=0,
            doors={node_id: door.address for node_id, door in self.group.doors.items()},
            group_id=CLUSTER_ID,
            credentials=self._credentials,
            master_key=MASTER_KEY,
            bootstrap_operator=self._operator,
            request_timeout_ms=self._request_timeout_ms,
            receive_timeout_ms=self._receive_timeout_ms,
            query_server=self._query_server,
            other_groups=self._other_doors(),
            poll_groups=self._poll_groups,
        )

    def _build(self) -> uvicorn.Server:
        server = build_server(self.options())
        server.config.http = HotConnection if self._hot else Connection
        return server


class Market:
    """An exchange with the market GLD-EUR of the rule book and two funded traders, set up through the gateway."""

    def __init__(self, gateway: LiveGateway) -> None:
        self.gateway = gateway
        self.operator = gateway.operator()
        operator = self.operator
        expect(201, operator("POST", "/v1/admin/assets", {"name": "GLD", "decimals": 3}))
        expect(201, operator("POST", "/v1/admin/assets", {"name": "EUR", "decimals": 5}))
        listing = {
            "base": "GLD",
            "quote": "EUR",
            "tick": "0.01",
            "lot": "0.001",
            "min_notional": "5",
            "maker_fee": "0.001",
            "taker_fee": "0.0025",
        }
        expect(201, operator("POST", "/v1/admin/markets", listing))
        self.public = gateway.client(None)
        self.ana = self.trader("Ana")
        self.bo = self.trader("Bo")

    def balance(self, trader: Client, asset: str) -> tuple[str, str]:
        """What a trader has available and what is held."""
        balances = expect(200, trader("GET", "/v1/accounts/me/balances")).body["balances"]
        return next(((one["available"], one["held"]) for one in balances if one["asset"] == asset), ("0", "0"))

    def trade_at(self, price: str) -> None:
        """Bo buys a little from Ana, so that this is the last price. The book must have room for it."""
        expect(201, self.ana("POST", "/v1/orders", limit_order("sell", "1", price)))
        bought = expect(201, self.bo("POST", "/v1/orders", limit_order("buy", "1", price))).body
        assert bought["fills"][0]["price"] == price, bought

    def pass_time(self, seconds: float) -> None:
        self.gateway.on_loop(lambda: self.gateway.group.pass_time(seconds))

    def balances(self) -> list[Any]:
        """What everybody has, the exchange included."""
        names = ("exchange", "Ana", "Bo")
        return [
            expect(200, self.operator("GET", f"/v1/admin/accounts/{name}/balances")).body["balances"] for name in names
        ]

    def trader(self, name: str) -> Client:
        operator = self.operator
        expect(201, operator("POST", "/v1/admin/accounts", {"name": name}))
        key = expect(201, operator("POST", f"/v1/admin/accounts/{name}/keys", {})).body
        for asset, amount in (("GLD", "1000"), ("EUR", "10000")):
            deposit = {"account": name, "asset": asset, "amount": amount, "reference": f"{name}-{asset}"}
            expect(201, operator("POST", "/v1/admin/deposits", deposit))
        return self.gateway.client((key["key_id"], key["secret"]))


def expect(status: int, response: Response) -> Response:
    assert response.status == status, response
    return response


def limit_order(side: str, quantity: str, price: str, **more: Any) -> dict[str, Any]:
    return {"market": "GLD-EUR", "side": side, "quantity": quantity, "price": price, **more}
