"""Two market groups as real processes: orders in both, funds there and back, a third group meanwhile, and a kill."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sim.admin import main as admin
from sim.audit import main as audit
from sim.client import Client, ExchangeUnreachable, Response, new_id
from sim.local_exchange import LocalExchange

pytestmark = pytest.mark.cluster

DEPOSIT = 1_000
TRANSFERS = 40
WITHIN_S = 40.0


def settle(client: Client, method: str, path: str, body: dict[str, Any] | None = None) -> Response:
    return client.settle(lambda: client.request(method, path, body), WITHIN_S).expect()


def balances(client: Client) -> dict[str, Any]:
    """Ana's, as of a moment at which every group answers."""
    deadline_s = time.monotonic() + WITHIN_S
    while True:
        response = client.request("GET", "/v1/accounts/me/balances")
        if response.ok or time.monotonic() > deadline_s:
            return response.expect().body
        time.sleep(0.05)


def euros(body: dict[str, Any]) -> dict[str, int]:
    (found,) = (one for one in body["balances"] if one["asset"] == "EUR")
    return {key: int(found[key]) for key in ("available", "held", "in_flight", "total")}


def set_up(exchange: LocalExchange) -> tuple[Client, tuple[str, str]]:
    """The operator, and the key of ana with her funds; GLD-EUR at home and TIN-EUR in the other group."""
    operator = exchange.operator()
    await_leaders(operator, 2)
    for asset in ("EUR", "GLD", "TIN"):
        operator.create_asset(asset, 0).expect()
    options = ["--tick", "1", "--lot", "1", "--url", exchange.url, "--data", str(exchange.directory)]
    assert admin(["market", "add", "GLD", "EUR", *options]) == 0
    assert admin(["market", "add", "TIN", "EUR", "--group", "group-2", *options]) == 0
    operator.create_account("ana").expect()
    operator.deposit("ana", "EUR", str(DEPOSIT), "dep-1").expect()
    key = operator.create_key("ana").expect().body
    return operator, (key["key_id"], key["secret"])


def send(client: Client, number: int, *, back: bool) -> Response:
    groups = {"from_group": "group-2", "to_group": "main"} if back else {"from_group": "main", "to_group": "group-2"}
    body = {**groups, "asset": "EUR", "amount": "3", "reference": f"t-{number}"}
    return settle(client, "POST", "/v1/transfers", body)


def test_orders_transfers_a_new_group_and_a_kill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with LocalExchange(tmp_path / "exchange", groups=2) as exchange:
        operator, key = set_up(exchange)
        ana = exchange.client(*key)
        gold = ana.place("GLD-EUR", "buy", quantity="1", price="10", client_order_id="g-1").expect()
        assert ana.place("TIN-EUR", "buy", quantity="1", price="10", client_order_id="t-0").error_code == "NO_FUNDS"
        send(ana, 0, back=False)
        tin = send_until_it_trades(ana)
        assert gold.body["order"]["status"] == tin.body["order"]["status"] == "open"
        assert euros(balances(ana))["total"] == DEPOSIT

        watched = Watched(exchange.client(*key))
        watched.start()
        leader = exchange.leader()
        for number in range(1, TRANSFERS + 1):
            send(ana, number, back=number % 3 == 0)
            if number == TRANSFERS // 2:
                exchange.kill(leader)  # the source's leader, with transfers under way
                added = ["group", "add", "metals", "--config", str(exchange.directory / "cluster.toml")]
                assert admin(added, url=exchange.url, data_dir=exchange.directory) == 0
        watched.stop()
        assert watched.looked > 3 and not watched.wrong, watched.wrong

        assert admin(["group", "list"], url=exchange.url, data_dir=exchange.directory) == 0
        assert "metals" in capsys.readouterr().out
        await_the_end(ana, operator)
        there, back = TRANSFERS - TRANSFERS // 3 + 1, TRANSFERS // 3
        final = balances(ana)
        assert euros(final) == {"available": DEPOSIT - 10 - 1, "held": 11, "in_flight": 0, "total": DEPOSIT}
        in_other = {one["asset"]: one["total"] for one in final["groups"]["group-2"]["balances"]}
        assert in_other == {"EUR": str(3 * (there - back))}
        assert set(final["groups"]) == {"main", "group-2", "metals"}
        assert exchange.stop() == 0
    assert audit(exchange.directory) == 0, "every group's log gives every balance"


def send_until_it_trades(ana: Client) -> Response:
    """An order for the funds that are on their way: taken once they have arrived."""
    deadline_s = time.monotonic() + WITHIN_S
    while True:
        response = ana.place("TIN-EUR", "buy", quantity="1", price="1", client_order_id=new_id())
        if response.ok or time.monotonic() > deadline_s:
            return response.expect()
        time.sleep(0.05)


def await_leaders(operator: Client, groups: int) -> None:
    """The gateway is ready once the home group is led."""
    deadline_s = time.monotonic() + WITHIN_S
    while True:
        found = operator.request("GET", "/v1/admin/groups").expect().body["groups"]
        if len(found) == groups and all(group["leader"] for group in found):
            return
        assert time.monotonic() < deadline_s, found
        time.sleep(0.05)


def await_the_end(ana: Client, operator: Client) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while True:
        groups = operator.request("GET", "/v1/admin/groups").expect().body["groups"]
        if all(group["leader"] and group["in_flight"] == {} for group in groups) and len(groups) == 3:
            break
        assert time.monotonic() < deadline_s, groups
        time.sleep(0.1)
    for group in ("main", "group-2"):
        sent = ana.request("GET", f"/v1/transfers/sent?group={group}").expect().body["transfers"]
        assert sent and {one["status"] for one in sent} == {"posted"}


class Watched(threading.Thread):
    """Looks at ana's money all the time. Groups are asked one after the other, so what moves between two looks may be
    seen in both places or in none: but never more than moved meanwhile, and it must come out even again."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self.looked = 0
        self.wrong: list[Any] = []
        self._client = client
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                response = self._client.request("GET", "/v1/accounts/me/balances")
            except ExchangeUnreachable:
                continue
            if response.ok:
                self.looked += 1
                found = euros(response.body)
                if min(found.values()) < 0 or abs(found["total"] - DEPOSIT) > 30:
                    self.wrong.append(response.body)
            time.sleep(0.02)

    def stop(self) -> None:
        self._stopping.set()
        self.join(10)
