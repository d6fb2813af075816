"""Whoever dials a door speaks with the node that it dialled, about the group that it means, or with nobody."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import pytest

from replication.dialled_door import DialledDoor
from replication.poller import Poller
from replication.protocol import Answer, Query, Status, decode_message
from replication.server import Door, DoorLink
from replication.tls import LinkCredentials
from tests.replication.link_certificates import CLUSTER_ID, gateway, node

WITHIN_S = 5.0


class Dialled:
    """A dialled door and what came of it; both ends live on one poller."""

    def __init__(self, *, node_id: str, group_id: bytes = CLUSTER_ID, credentials: LinkCredentials) -> None:
        self.frames: list[bytes] = []
        self.closed_because = ""
        self._poller = Poller()
        self._door = Door(
            ("127.0.0.1", 0), self._poller, self, credentials=node("node-2"), group_id=CLUSTER_ID, now_s=time.monotonic
        )
        self.link = DialledDoor(
            node_id,
            self._door.address,
            group_id=group_id,
            credentials=credentials,
            poller=self._poller,
            on_frame=self.frames.append,
            on_closed=lambda reason: setattr(self, "closed_because", reason),
        )
        deadline_s = time.monotonic() + WITHIN_S
        while not self.frames and not self.closed_because:
            assert time.monotonic() < deadline_s
            self._poller.poll(0.01)
            self._door.flush()
        self.link.close("done")
        while self._door.links:  # until the door has seen that too
            assert time.monotonic() < deadline_s
            self._poller.poll(0.01)
        self._door.close()
        self._poller.close()

    def status(self) -> Status:
        return Status("node-2", True, "node-2", 1, 7)

    def submit(self, link: DoorLink, correlation: int, command: bytes) -> None:
        raise AssertionError("nobody sent a command")

    def ask(self, query: Query, reply: Callable[[Answer], None], *, operator: str) -> None:
        raise AssertionError("nobody asked anything")


def test_the_node_that_was_dialled_says_how_it_stands() -> None:
    dialled = Dialled(node_id="node-2", credentials=node("node-3"))
    assert dialled.link.open
    assert not dialled.link.refusal
    status = decode_message(dialled.frames[0])
    assert isinstance(status, Status)
    assert status.sequence == 7


def test_another_node_at_that_address_is_refused_by_name() -> None:
    dialled = Dialled(node_id="node-1", credentials=node("node-3"))
    assert not dialled.link.open
    assert not dialled.frames
    assert "its certificate is that of node node-2" in dialled.link.refusal
    assert "expected was node-1" in dialled.link.refusal


def test_the_door_of_another_group_is_refused_and_both_ends_say_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    dialled = Dialled(node_id="node-2", group_id=b"g" * 16, credentials=node("node-3"))
    assert not dialled.link.open
    assert not dialled.frames
    assert "market group" in dialled.link.refusal
    assert "no link with 127.0.0.1: it is a replica of another market group, or looks for one" in caplog.text


def test_a_door_that_does_not_take_our_certificate_is_known_by_its_silence() -> None:
    dialled = Dialled(node_id="node-2", credentials=gateway(signed_by="another"))
    assert not dialled.link.open
    assert dialled.link.was_turned_away or dialled.link.refusal
