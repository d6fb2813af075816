"""An HTTP client of the exchange: one keep-alive connection, signed requests, decimals as text.

A request has one of three ends, and the client keeps them apart::

    answered, definite       it happened, or certainly not: a Response
    answered, not definite   503 NO_LEADER (did not happen yet), 504 OUTCOME_UNKNOWN (may have): a Response
    no answer                ExchangeUnreachable: may have happened

Every command carries an id, so sending it again is always safe: the exchange answers a repeat with
the first receipt. :meth:`Client.settle` does that until the outcome is definite.

Errors::

    ClientError
     +-- CredentialsMissing      no API key is to be found
     +-- ExchangeUnreachable     no answer; the outcome is unknown
     +-- OutcomeUnsettled        repeated for the whole time limit, and still not definite
     +-- RequestRefused          a definite no, where the caller needed a yes
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Callable, Iterable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

import orjson

KEY_VARIABLE: Final = "TALLY_KEY"
OPERATOR_KEY_FILE: Final = "operator.key"
SETTLE_LIMIT_S: Final = 120.0
SETTLE_PAUSE_S_MIN: Final = 0.05
SETTLE_PAUSE_S_MAX: Final = 1.0
# A server closes idle connections after some seconds. A request written into one that is being closed would
# have an unknown outcome for no reason, so an idle connection is replaced well before.
IDLE_S_MAX: Final = 2.0

Body = Mapping[str, Any]


class ClientError(Exception):
    """Base of what a call to the exchange can raise. The text is one sentence for the user."""


class CredentialsMissing(ClientError):
    """No API key is to be found where it should be."""


class ExchangeUnreachable(ClientError):
    """No answer came. Whether the request was carried out is unknown."""


class OutcomeUnsettled(ClientError):
    """Repeating the request for the whole time limit did not bring a definite outcome."""


class Response(NamedTuple):
    """``sequence`` is the receipt of a command, or what a read is as of. None where no log was involved."""

    status: int
    body: dict[str, Any]
    sequence: int | None

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def error_code(self) -> str:
        """The code of the error, or "" if there is none."""
        return _error_code(self.body)

    @property
    def definite(self) -> bool:
        """Is this the last word? For a batch, about every one of its items."""
        results: list[Body] = self.body.get("results", [])
        return _is_definite(self.status, self.body) and all(_is_definite(item["status"], item) for item in results)

    def expect(self) -> Response:
        """This response, if it is a yes. RequestRefused otherwise."""
        if not self.ok:
            raise RequestRefused(self)
        return self


class RequestRefused(ClientError):
    """The exchange said no, and the caller cannot go on without a yes."""

    def __init__(self, response: Response) -> None:
        message = response.body.get("error", {}).get("message", "The exchange gave no reason.")
        super().__init__(f"The exchange answered {response.status} {response.error_code}: {message}")
        self.response = response


class Credentials(NamedTuple):
    """An API key. The secret signs; it never travels."""

    key_id: str
    secret: str

    @classmethod
    def load(cls, data_dir: Path, environment: Mapping[str, str] = os.environ) -> Credentials:
        """The key in ``TALLY_KEY`` ("key_id:secret") if set, else the operator's in ``data_dir``.

        CredentialsMissing says what to do.
        """
        text = environment.get(KEY_VARIABLE, "")
        if text:
            key_id, colon, secret = text.partition(":")
            if not (key_id and colon and secret):
                raise CredentialsMissing(f"{KEY_VARIABLE} must look like key_id:secret.")
            return cls(key_id, secret)
        path = data_dir / OPERATOR_KEY_FILE
        try:
            document = orjson.loads(path.read_bytes())
            return cls(str(document["key_id"]), str(document["secret"]))
        except OSError as error:
            raise CredentialsMissing(
                f"No API key: {path} cannot be read ({error.strerror}). Name the directory of `tally up` with --data, "
                f"or set {KEY_VARIABLE}=key_id:secret."
            ) from None
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise CredentialsMissing(f"{path} is not a key file: it must hold key_id and secret.") from None


class Signer:
    """Signs requests with HMAC-SHA256 over ``timestamp, METHOD, path with query, body``, joined by newlines."""

    def __init__(self, credentials: Credentials) -> None:
        self.key_id = credentials.key_id
        # Hashing the key is half of the work, so it is done once and copied for each request.
        self._keyed = hmac.new(credentials.secret.encode(), digestmod=hashlib.sha256)

    def signature(self, timestamp_ms: int, method: str, path: str, body: bytes) -> str:
        keyed = self._keyed.copy()
        keyed.update(b"%d\n%s\n%s\n%s" % (timestamp_ms, method.encode(), path.encode(), body))
        return keyed.hexdigest()

    def headers(self, method: str, path: str, body: bytes) -> dict[str, str]:
        """The three headers that authenticate a request sent now."""
        timestamp_ms = time.time_ns() // 1_000_000
        return {
            "X-Tally-Key": self.key_id,
            "X-Tally-Timestamp": str(timestamp_ms),
            "X-Tally-Signature": self.signature(timestamp_ms, method, path, body),
        }


class Client:
    """Calls of one account, one at a time, over one connection. Not for several threads.

    Amounts, prices and quantities are decimal texts. The caller chooses the ids of its commands
    (:func:`new_id` makes one), because repeating a command means sending the same id. Without credentials only the
    public reads work.
    """

    def __init__(self, url: str, credentials: Credentials | None = None, timeout_s: float = 15.0) -> None:
        scheme, host, port = read_address(url)
        connect = HTTPSConnection if scheme == "https" else HTTPConnection
        self.url = url
        self._signer = Signer(credentials) if credentials else None
        self._connection = connect(host, port, timeout=timeout_s)
        self._last_used_s = 0.0

    def close(self) -> None:
        self._connection.close()

    def request(self, method: str, path: str, body: Body | None = None) -> Response:
        """Send one request once. ExchangeUnreachable if no answer comes."""
        payload = b"" if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json"} if payload else {}
        if self._signer is not None:
            headers |= self._signer.headers(method, path, payload)
        now_s = time.monotonic()
        if now_s - self._last_used_s > IDLE_S_MAX:
            self._connection.close()
        self._last_used_s = now_s
        try:
            self._connection.request(method, path, body=payload or None, headers=headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            raise ExchangeUnreachable(f"The exchange at {self.url} does not answer ({_describe(error)}).") from None
        try:
            document = orjson.loads(content)
        except orjson.JSONDecodeError:
            document = {}
        document = document if isinstance(document, dict) else {}
        return Response(answer.status, document, document.get("sequence"))

    def settle(self, call: Callable[[], Response], limit_s: float = SETTLE_LIMIT_S) -> Response:
        """Make a call until its outcome is definite. Each repeat is signed anew.

        OutcomeUnsettled when ``limit_s`` is over.
        """
        deadline_s = time.monotonic() + limit_s
        pause_s = SETTLE_PAUSE_S_MIN
        while True:
            try:
                response = call()
                if response.definite:
                    return response
                last = f"the last answer was {response.status} {response.error_code}".rstrip()
            except ExchangeUnreachable as error:
                last = str(error)
            if time.monotonic() + pause_s > deadline_s:
                raise OutcomeUnsettled(f"No definite outcome within {limit_s:g} s: {last}")
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, SETTLE_PAUSE_S_MAX)

    def place(
        self,
        market: str,
        side: str,
        quantity: str | None = None,
        *,
        price: str | None = None,
        budget: str | None = None,
        time_in_force: str = "gtc",
        post_only: bool = False,
        client_order_id: str,
    ) -> Response:
        """Place a limit order, or a market order where no price is given (by quantity or by budget)."""
        item = order_item(
            market,
            side,
            quantity,
            price=price,
            budget=budget,
            time_in_force=time_in_force,
            post_only=post_only,
            client_order_id=client_order_id,
        )
        return self.request("POST", "/v1/orders", item)

    def cancel(self, order: str, request_id: str) -> Response:
        """Cancel one order, named by order id, client order id or ``client:<id>``."""
        query = urlencode({"request_id": request_id})
        return self.request("DELETE", f"/v1/orders/{quote(order, safe=':')}?{query}")

    def cancel_all(self, market: str, request_id: str) -> Response:
        query = urlencode({"market": market, "request_id": request_id})
        return self.request("DELETE", f"/v1/orders?{query}")

    def amend(self, order: str, request_id: str, *, price: str | None = None, quantity: str | None = None) -> Response:
        """Change an order's price, or its total quantity (what was executed included), or both."""
        changes = {"price": price, "quantity": quantity, "request_id": request_id}
        body = {name: value for name, value in changes.items() if value is not None}
        return self.request("PATCH", f"/v1/orders/{quote(order, safe=':')}", body)

    def batch(self, items: Iterable[Body]) -> Response:
        """Carry out up to 500 items in the order given. Each has an outcome of its own in ``results``."""
        return self.request("POST", "/v1/orders/batch", {"items": list(items)})

    def order(self, order: str) -> Response:
        return self.request("GET", f"/v1/orders/{quote(order, safe=':')}")

    def open_orders(self, market: str) -> Response:
        return self.request("GET", "/v1/orders?" + urlencode({"market": market}))

    def balances(self) -> Response:
        return self.request("GET", "/v1/accounts/me/balances")

    def market(self, market: str) -> Response:
        return self.request("GET", f"/v1/markets/{quote(market, safe='')}")

    def book(self, market: str, depth: int = 20) -> Response:
        return self.request("GET", f"/v1/markets/{quote(market, safe='')}/book?depth={depth}")

    def trades(self, market: str, limit: int = 50) -> Response:
        """The latest trades, newest first; at most 1000."""
        return self.request("GET", f"/v1/markets/{quote(market, safe='')}/trades?limit={limit}")

    def create_asset(self, name: str, decimals: int) -> Response:
        return self.request("POST", "/v1/admin/assets", {"name": name, "decimals": decimals})

    def create_market(
        self, base: str, quote_asset: str, *, tick: str, lot: str, maker_fee: str = "0", taker_fee: str = "0"
    ) -> Response:
        """List ``base-quote``. Fees are fractions of the notional."""
        body = {
            "base": base,
            "quote": quote_asset,
            "tick": tick,
            "lot": lot,
            "min_notional": "0",
            "maker_fee": maker_fee,
            "taker_fee": taker_fee,
        }
        return self.request("POST", "/v1/admin/markets", body)

    def create_account(self, name: str) -> Response:
        return self.request("POST", "/v1/admin/accounts", {"name": name})

    def create_key(self, account: str) -> Response:
        """A new API key for an account; its secret is in this response and nowhere else."""
        return self.request("POST", f"/v1/admin/accounts/{quote(account, safe='')}/keys", {})

    def deposit(self, account: str, asset: str, amount: str, reference: str) -> Response:
        body = {"account": account, "asset": asset, "amount": amount, "reference": reference}
        return self.request("POST", "/v1/admin/deposits", body)


def order_item(
    market: str,
    side: str,
    quantity: str | None = None,
    *,
    price: str | None = None,
    budget: str | None = None,
    time_in_force: str = "gtc",
    post_only: bool = False,
    client_order_id: str,
) -> dict[str, Any]:
    """The body of an order: a limit order, or a market order where no price is given."""
    item: dict[str, Any] = {"market": market, "side": side, "type": "market" if price is None else "limit"}
    if quantity is not None:
        item["quantity"] = quantity
    if budget is not None:
        item["budget"] = budget
    if price is not None:
        item["price"] = price
        item["time_in_force"] = time_in_force
        item["post_only"] = post_only
    item["client_order_id"] = client_order_id
    return item


def read_address(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an exchange's address. ExchangeUnreachable if it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise ExchangeUnreachable(f"{url!r} is not an address like http://127.0.0.1:8080.")
    return parts.scheme, parts.hostname, port


def new_id() -> str:
    """An id that nobody used before."""
    return uuid4().hex


def _error_code(body: Body) -> str:
    return str(body.get("error", {}).get("code", ""))


def _is_definite(status: int, body: Body) -> bool:
    # NO_LEADER is definite about this copy of the command, but the command itself is still to be carried out. An
    # expired signature is mended by signing again.
    if status in (502, 503, 504) or _error_code(body) == "REQUEST_EXPIRED":
        return False
    return bool(body.get("error", {}).get("definite", True))


def _describe(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
