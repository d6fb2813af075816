"""A gateway talks to the node that it dialled and to nobody else, and says why not."""

from __future__ import annotations

import asyncio
import datetime
import logging
import threading
import time
from collections.abc import Callable

import pytest
import uvloop

from gateway.groups import Group
from gateway.metrics import GatewayMetrics
from replication.identity import NODE, Identity
from replication.poller import Poller
from replication.protocol import Answer, Query, Status
from replication.server import Door, DoorLink
from replication.tls import LinkCredentials
from tests.gateway.live_gateway import LiveGateway, expect
from tests.gateway.one_replica import OneReplicaGroup
from tests.replication.link_certificates import CLUSTER_ID, NOW, credentials, gateway, node

LONG_AGO = NOW - datetime.timedelta(days=30)
OTHER_CLUSTER = Identity(b"d" * 16, NODE, "node-1")


def wait_for_warning(caplog: pytest.LogCaptureFixture, wanted: str) -> None:
    until_s = time.monotonic() + 10
    while not any(wanted in record.getMessage() for record in caplog.records):
        assert time.monotonic() < until_s, (wanted, caplog.messages)
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("shown", "complaint"),
    [
        (lambda: node("node-2"), "its certificate is that of node node-2, expected was node-1: correct the addresses"),
        (lambda: credentials(OTHER_CLUSTER), "its certificate is that of node node-1 of cluster 6464"),
        (lambda: node("node-1", signed_by="another"), "was not signed by this cluster's CA (ca_file)"),
        (lambda: node("node-1", made=LONG_AGO), "its certificate has expired: renew it"),
        (lambda: gateway("node-1"), "a gateway's certificate stands where a node's is needed"),
    ],
    ids=["another node", "another cluster", "another CA", "expired", "a gateway"],
)
def test_a_replica_that_proves_to_be_something_else_is_refused(
    shown: Callable[[], LinkCredentials], complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    group = OneReplicaGroup(("node-1",), shown={"node-1": shown()})
    with LiveGateway(group=group, request_timeout_ms=200) as live:
        wait_for_warning(caplog, complaint)
        assert any("no link with node-1 at 127.0.0.1:" in message for message in caplog.messages)
        client = live.client(None)
        assert (client("GET", "/readyz").status, client("GET", "/healthz").status) == (503, 200)
        assert not group.frames


@pytest.mark.parametrize(
    ("own", "group_id", "complaint"),
    [
        (lambda: gateway(made=LONG_AGO), CLUSTER_ID, "it says that our certificate has expired: renew it"),
        (lambda: gateway(signed_by="another"), CLUSTER_ID, "it says that our certificate was signed by another CA"),
        (gateway, b"o" * 16, "it is a replica of another market group"),
    ],
    ids=["expired", "another CA", "another group"],
)
def test_a_gateway_that_a_door_refuses_says_so(
    own: Callable[[], LinkCredentials], group_id: bytes, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    async def run() -> bool:
        with RealDoor() as address:
            group = Group(
                doors={"node-1": address},
                group_id=group_id,
                credentials=own(),
                metrics=GatewayMetrics(["node-1"]).group,
                request_timeout_ms=200,
            )
            group.start()
            await asyncio.get_running_loop().run_in_executor(None, wait_for_warning, caplog, complaint)
            await group.stop()
            return group.leader is not None

    assert not uvloop.run(run())


def test_a_gateway_stops_at_any_moment_of_its_attempts() -> None:
    """A cancellation that meets the end of a failed attempt must not get lost."""

    async def run() -> None:
        replicas = OneReplicaGroup(shown={"node-1": gateway("node-1"), "node-2": node("node-1")})
        await replicas.open()
        doors = {node_id: door.address for node_id, door in replicas.doors.items()}
        for number in range(60):
            metrics = GatewayMetrics(doors).group
            group = Group(
                doors=doors, credentials=gateway(), group_id=CLUSTER_ID, metrics=metrics, request_timeout_ms=200
            )
            group.start()
            await asyncio.sleep(number * 0.000_2)
            async with asyncio.timeout(10):
                await group.stop()
        replicas.close()

    uvloop.run(run())


def test_a_gateway_finds_a_leader_that_joined_after_the_last_word_of_the_old_one() -> None:
    """It knows node-1 alone, which follows already when it says for the first time that node-2 is a member."""

    async def run() -> str:
        replicas = OneReplicaGroup()
        await replicas.open()
        known = {"node-1": replicas.doors["node-1"].address}
        metrics = GatewayMetrics(known).group
        group = Group(doors=known, credentials=gateway(), group_id=CLUSTER_ID, metrics=metrics, request_timeout_ms=200)
        group.start()
        async with asyncio.timeout(10):
            while group.leader is None:
                await asyncio.sleep(0.01)
            replicas.members = {node_id: door.address for node_id, door in replicas.doors.items()}
            replicas.elect("node-2")
            while group.leader is None or group.leader.node_id != "node-2":
                await asyncio.sleep(0.01)
            found = group.leader.node_id
            await group.stop()
        replicas.close()
        return found

    assert uvloop.run(run()) == "node-2"


class RealDoor:
    """The door of a replica that leads, on a poller in a thread. The gateways of these tests get no further."""

    def __enter__(self) -> tuple[str, int]:
        self._door = Door(
            ("127.0.0.1", 0), Poller(), self, credentials=node("node-1"), group_id=CLUSTER_ID, now_s=time.monotonic
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self._door.address

    def __exit__(self, *_exception: object) -> None:
        self._stopped.set()
        self._thread.join(10)
        self._door.close()

    def status(self) -> Status:
        return Status("node-1", True, "node-1", 1, 0, False)

    def submit(self, link: DoorLink, correlation: int, command: bytes) -> None:
        raise AssertionError("a command of a gateway that was refused")

    def ask(self, query: Query, reply: Callable[[Answer], None], *, operator: str) -> None:
        raise AssertionError("a question of a gateway that was refused")

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._door.poller.poll(0.01)
            self._door.flush()


def test_one_wrong_replica_does_not_keep_the_others_from_serving(caplog: pytest.LogCaptureFixture) -> None:
    with LiveGateway(group=OneReplicaGroup(shown={"node-2": node("node-1")})) as live:
        live.wait_until_ready()
        wait_for_warning(caplog, "no link with node-2")


def test_metrics_say_when_certificates_end() -> None:
    with LiveGateway() as live:
        live.wait_until_ready()
        lines = expect(200, live.client(None)("GET", "/metrics")).body.decode().splitlines()
    ends = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}
    # The certificate counts whole seconds.
    ends_s = (NOW + datetime.timedelta(days=10)).timestamp()
    assert ends["tally_certificate_expiry_timestamp_seconds"] == pytest.approx(ends_s, abs=1)
    assert ends['tally_replica_certificate_expiry_timestamp_seconds{group="main",node="node-2"}'] == pytest.approx(
        ends_s, abs=1
    )
