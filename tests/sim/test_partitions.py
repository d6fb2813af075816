"""Hosts with addresses of their own, cut off from each other both ways and one way, while orders flow."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from replication.local_cluster import NODE_IDS
from tests.sim.hosts_in_namespaces import HostsInNamespaces, why_not

pytestmark = pytest.mark.cluster


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[HostsInNamespaces]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with HostsInNamespaces(tmp_path / "exchange") as started:
        yield started


class Trader:
    """Places one order after the other, each until its outcome is known, until it is told to stop."""

    def __init__(self, hosts: HostsInNamespaces) -> None:
        operator = hosts.operator()
        operator.create_asset("EUR", 5).expect()
        operator.create_asset("GLD", 3).expect()
        operator.create_market("GLD", "EUR", tick="0.01", lot="0.001").expect()
        operator.create_account("ana").expect()
        operator.deposit("ana", "EUR", "10000.00", "dep-1").expect()
        key = operator.create_key("ana").expect().body
        self.client = hosts.client(key["key_id"], key["secret"])
        self.placed: list[str] = []
        self._failure: BaseException | None = None
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._enough.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def open_orders(self) -> list[str]:
        """The client's ids of all her open orders, page by page."""
        found: list[str] = []
        query = "market=GLD-EUR&limit=100"
        while True:
            page = self.client.request("GET", f"/v1/orders?{query}").expect().body
            found += [order["client_order_id"] for order in page["orders"]]
            if not page["more"]:
                return found
            query = f"market=GLD-EUR&limit=100&after={page['orders'][-1]['order_id']}"

    def _run(self) -> None:
        try:
            while not self._enough.wait(0.005):
                name = f"order-{len(self.placed)}"
                self.client.settle(
                    lambda name=name: self.client.place(  # type: ignore[misc]
                        "GLD-EUR", "buy", quantity="0.001", price="1.00", client_order_id=name
                    )
                ).expect()
                self.placed.append(name)
        except BaseException as failure:
            self._failure = failure


def test_orders_flow_on_whichever_host_is_cut_off_and_none_is_lost_or_doubled(hosts: HostsInNamespaces) -> None:
    trader = Trader(hosts)
    try:
        # Both ways: the leader's cable.
        first = hosts.new_leader()
        hosts.cut_off(first)
        second = hosts.new_leader(first)
        _wait_for_orders(trader, 10)
        hosts.plug_in(first)
        hosts.agreed_replicas()
        # One way: the leader hears the others and is not heard by them.
        hosts.mute(second)
        third = hosts.new_leader(second)
        _wait_for_orders(trader, 10)
        hosts.unmute(second)
        hosts.agreed_replicas()
        # One way: a follower that is not heard leaves leader and term alone.
        leader = hosts.new_leader()
        term = max(replica["term"] for replica in hosts.replicas())
        follower = next(node_id for node_id in NODE_IDS if node_id != leader)
        hosts.mute(follower)
        _wait_for_orders(trader, 50)
        hosts.unmute(follower)
    finally:
        trader.stop()
    replicas = hosts.agreed_replicas()
    assert third != second
    assert {replica["term"] for replica in replicas} == {term}
    assert len({replica["state_hash"] for replica in replicas}) == 1
    assert sorted(trader.open_orders()) == sorted(trader.placed)


def _wait_for_orders(trader: Trader, count: int) -> None:
    """Until so many more were acknowledged."""
    enough, deadline_s = len(trader.placed) + count, time.monotonic() + 20
    while len(trader.placed) < enough:
        assert time.monotonic() < deadline_s, "orders do not flow"
        time.sleep(0.01)
