"""A running exchange, behind its HTTP API, as a stage for scenarios.

Many scenarios share one exchange, with each other and with whoever else trades there: every part of a scenario gets
accounts, assets, markets and sales of its own. Their names bear a random suffix (``sim.part_names``), which the story
that is told leaves out again. Each account signs with a key of its own, made by the operator.

Answers of the API tell what a command did, but not what it did to others, nor what time brought about. So after every
command the operator reads the exchange's events (``sim.event_feed``) up to that command, and what is not of this
scenario is passed over.

A request is repeated until its outcome is definite, so a leader may die meanwhile: a command that was executed by a
first copy is told as what it did then, not as the repeat that its second copy was.
"""

from __future__ import annotations

import time
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from engine.commands import Command, CreateAsset, MassCancel, SetRulesVersion, Tick
from engine.events import RequestRepeated
from engine.types import DAY, EVERYONE, EXCHANGE_ACCOUNT, NS_PER_S, TIME_IN_FORCE_NAMES
from sim.client import Client, Credentials, Response
from sim.driver import DEPTH, Answer, Balance, BookLevel, Heard, MarketView, Movement, SaleView, Standing, Subscription
from sim.event_feed import EventFeed, FeedEvent
from sim.http_operator_requests import operator_request
from sim.http_requests import HttpRequest, trader_request
from sim.order_sentences import conditions_text
from sim.part_names import PartNames
from sim.phrases import Asked
from sim.register import EXCHANGE_NAME, Register
from sim.scenario import Skipped

WAIT_NS_MAX: Final = 3 * NS_PER_S
MOMENT_NS: Final = NS_PER_S // 2  # what is closer than this cannot be told apart on a live exchange
SETTLE_LIMIT_S: Final = 30.0
_WAIT_MARGIN_S: Final = 0.15
_SIGNED_NOW_NS: Final = NS_PER_S
# What a gateway finds by itself before it asks the exchange, in the exchange's word for it.
_MALFORMED: Final = frozenset(("BAD_FIELD", "BAD_ID", "MISSING_FIELD"))


class Receipt(NamedTuple):
    """What the answer to a command says of its place in the log. Sequence 0: it did not get there."""

    sequence: int
    repeated: bool
    refusal: str


class HttpDriver:
    """One part of a scenario at a time. ``operator`` is a client with an operator's key."""

    def __init__(self, operator: Client) -> None:
        self.register = Register()
        self._operator = operator
        me = operator.settle(lambda: operator.request("GET", "/v1/accounts/me")).expect()
        self._is_exchange = me.body["account"] == EXCHANGE_NAME
        self._clients: dict[int, Client] = {}
        self._feed = EventFeed(operator)
        self._names = PartNames()

    def begin(self) -> None:
        self.close()
        self._names = PartNames()
        self.register = self._names.register
        self._feed = EventFeed(self._operator)

    def close(self) -> None:
        """Close the connections of the part's accounts."""
        for client in self._clients.values():
            client.close()
        self._clients = {}

    def now_ns(self) -> int:
        return time.time_ns()

    def wait(self, duration_ns: int) -> None:
        if duration_ns > WAIT_NS_MAX:
            raise Skipped(f"a clock that goes {duration_ns / NS_PER_S:g} s ahead is not waited for")
        if duration_ns % MOMENT_NS:
            raise Skipped("an exact moment can be met in process only")
        time.sleep(duration_ns / NS_PER_S + _WAIT_MARGIN_S)

    def require_process(self, reason: str) -> None:
        raise Skipped(reason)

    def submit(self, asked: Asked) -> Answer:
        command = asked.command
        if isinstance(command, Tick):
            return self._tick()
        self._refuse_what_only_a_process_can(command)
        command = self._names.published(command)
        request = operator_request(command, self._names) or trader_request(command, self._names)
        assert request is not None, command
        position = self._feed.position
        receipt = self._send(self._client(command.account_id), request)
        if not receipt.sequence:
            return Answer(0, [], receipt.refusal)
        return self._hear(receipt, position)

    def book(self, market_id: int) -> list[BookLevel]:
        body = self._get(self._operator, f"/v1/markets/{self._names.market(market_id)}/book?depth={DEPTH}")
        return [BookLevel(side[:-1], *level) for side in ("asks", "bids") for level in body[side]]

    def market(self, market_id: int) -> MarketView:
        body = self._get(self._operator, f"/v1/markets/{self._names.market(market_id)}")
        auction = body["auction"] or {"indicative_price": None}
        crossing = None
        if auction["indicative_price"] is not None:
            crossing = auction["indicative_price"], auction["indicative_quantity"], auction["surplus"]
        return MarketView(body["state"], body["last_price"], crossing)

    def balances(self, account_id: int) -> list[Balance]:
        body = self._get(self._operator, f"/v1/admin/accounts/{self._names.account(account_id)}/balances")
        # The exchange's own account has fees of others too.
        rows = [row for row in body["balances"] if self._names.knows(row["asset"])]
        return [Balance(self._names.plain(row["asset"]), row["available"], row["held"]) for row in rows]

    def orders(self, account_id: int) -> list[Standing]:
        return [self._standing(order) for order in self._get(self._client(account_id), "/v1/orders")["orders"]]

    def order(self, account_id: int, client_order_id: str) -> Standing | None:
        client, path = self._client(account_id), f"/v1/orders/client:{quote(client_order_id, safe='')}"
        response = client.settle(lambda: client.request("GET", path))
        if response.error_code == "UNKNOWN_ORDER":
            return None
        return self._standing(response.expect().body["order"])

    def withdrawals(self, account_id: int) -> list[Movement]:
        rows = self._get(self._client(account_id), "/v1/withdrawals")["withdrawals"]
        return [self._movement(row, row["withdrawal_id"], "", row["destination"]) for row in rows]

    def transfers(self, account_id: int) -> list[Movement]:
        rows = self._get(self._client(account_id), "/v1/transfers")["transfers"]
        plain = self._names.plain
        return [self._movement(row, row["transfer_id"], plain(row["from"]), plain(row["to"])) for row in rows]

    def sale(self, sale_id: int) -> SaleView | None:
        path = f"/v1/sales/{self._names.sale(sale_id)}"
        response = self._operator.settle(lambda: self._operator.request("GET", path))
        if response.error_code == "UNKNOWN_SALE":
            return None
        sale, plain = response.expect().body["sale"], self._names.plain
        sold, proceeds = f"{sale['sold']} {plain(sale['token'])}", f"{sale['proceeds']} {plain(sale['quote'])}"
        return SaleView(sale["status"], sold, proceeds)

    def subscriptions(self, account_id: int, sale_id: int) -> list[Subscription]:
        path, sale = f"/v1/sales/{self._names.sale(sale_id)}/subscriptions", self.register.sales[sale_id]
        answer = []
        for row in self._get(self._client(account_id), path)["subscriptions"]:
            settled, what = None, row["settled"]
            if what is not None:
                tokens, paid = f"{what['quantity']} {sale.token.name}", f"{what['paid']} {sale.quote.name}"
                settled = tokens, paid, what["refunded"]
            answer.append(Subscription(row["subscription_id"], f"{row['held']} {sale.quote.name}", settled))
        return answer

    def _refuse_what_only_a_process_can(self, command: Command) -> None:
        if abs(command.issued_at_ns - self.now_ns()) > _SIGNED_NOW_NS:
            raise Skipped("a request that was signed at another time can be made in process only")
        if command.account_id not in self.register.accounts:
            raise Skipped("an account that does not exist has no key to sign with")
        if isinstance(command, MassCancel) and (command.owner_account_id, command.market_id) == (EVERYONE, 0):
            raise Skipped("everybody's orders are not cancelled on an exchange that others use")
        if isinstance(command, SetRulesVersion):
            raise Skipped("the rules of an exchange that others use are not changed")

    def _client(self, account_id: int) -> Client:
        """A client that signs as this account, with a key that is made for it."""
        if account_id == EXCHANGE_ACCOUNT:
            return self._operator
        if account_id not in self._clients:
            path = f"/v1/admin/accounts/{self._names.account(account_id)}/keys"
            key = self._operator.settle(lambda: self._operator.request("POST", path, {})).expect().body
            self._clients[account_id] = Client(self._operator.url, Credentials(key["key_id"], key["secret"]))
        return self._clients[account_id]

    def _send(self, client: Client, request: HttpRequest) -> Receipt:
        if client is self._operator and not request.path.startswith("/v1/admin/") and not self._is_exchange:
            raise Skipped("the operator's key is not the exchange's own")
        return _receipt_of(client.settle(partial(client.request, *request), SETTLE_LIMIT_S))

    def _hear(self, receipt: Receipt, position: int) -> Answer:
        """Everything of this scenario up to the command, and the command's own place in the log."""
        heard: list[Heard] = []
        place = 0
        is_first_copy = not receipt.repeated or receipt.sequence > position
        for entry in self._feed.entries():
            for told in entry:
                if told.by_time:
                    is_ours = self.register.concerns(told.event)
                elif is_first_copy:
                    is_ours = told.sequence == receipt.sequence
                else:
                    is_ours = told.sequence == place or _repeats(told, receipt.sequence)
                if is_ours:
                    heard.append(Heard(told.event, told.timestamp_ns))
                    place = place if told.by_time else told.sequence
            if place:
                break
        return Answer(place, heard)

    def _tick(self) -> Answer:
        """Only the leader sends ticks. A repeat of what exists changes nothing, and what is due happens before it."""
        name, asset = next((self._names.asset(number), asset) for number, asset in self.register.assets.items())
        again = CreateAsset(EXCHANGE_ACCOUNT, self.now_ns(), asset.decimals, name.encode())
        request, position = operator_request(again, self._names), self._feed.position
        assert request is not None, again
        answer = self._hear(self._send(self._operator, request), position)
        by_time = [heard for heard in answer.heard if self.register.concerns(heard.event)]
        return Answer(answer.sequence, by_time)

    def _get(self, client: Client, path: str) -> dict[str, Any]:
        return client.settle(lambda: client.request("GET", path)).expect().body

    def _standing(self, order: dict[str, Any]) -> Standing:
        ends = ""
        if order["expires_at"] is not None:
            by_day = order["time_in_force"] == TIME_IN_FORCE_NAMES[DAY]
            ends = "with the day" if by_day else f"in {self.register.until(_moment_ns(order['expires_at']))}"
        per_cent = order["trail_percent"]
        conditions = conditions_text(
            stop=order["stop_price"] or "",
            trail=order["trail"] or "" if per_cent is None else f"{per_cent.rstrip('0').rstrip('.')}%",
            display=order["display"] or "",
            visible=order["visible"] or "",
            ends=ends,
            other_leg=self.register.label(order["linked_order_id"]) if order["linked_order_id"] else "",
        )
        return Standing(
            order_id=order["order_id"],
            status=order["status"],
            close_reason=order["close_reason"] or "",
            open=order["open"],
            executed=order["executed"],
            notional=order["notional"],
            fee=order["fee"],
            held=order["held"],
            conditions=conditions,
        )

    def _movement(self, row: dict[str, Any], number: int, giver: str, to: str) -> Movement:
        amount = f"{row['amount']} {self._names.plain(row['asset'])}"
        return Movement(number, row["status"], amount, giver, to)


def _receipt_of(response: Response) -> Receipt:
    body = response.body
    if response.ok:
        # What became of an id is told without that word, and with the receipt of the id.
        return Receipt(body["sequence"], body.get("repeated", True), "")
    code = response.error_code
    # Only a refusal that stands in the log says whether it is a repeat.
    if "repeated" in body:
        return Receipt(body["sequence"], body["repeated"], code)
    return Receipt(0, False, "MALFORMED" if code in _MALFORMED else code)


def _repeats(told: FeedEvent, original_sequence: int) -> bool:
    return isinstance(told.event, RequestRepeated) and told.event.original_sequence == original_sequence


def _moment_ns(text: str) -> int:
    """A moment as the API writes it: RFC 3339 in UTC with nine decimals."""
    second, _, nanoseconds = text.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(f"{second}+00:00").timestamp()) * NS_PER_S + int(nanoseconds)
