"""A replica among other market groups: its relay and the links it needs, and who should lead.

While the file names one group there is nothing to do here, but a group may be added at any time: the file is looked at
every second (``replication.config_watch``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.machine import Machine
from replication.config import Config
from replication.config_watch import ConfigWatch
from replication.door_client import DoorClient
from replication.market_groups import id_of_group, of_group, other_groups, preferred_leader
from replication.poller import EventSource
from replication.preferred_leader import PreferredLeader
from replication.protocol import Result
from replication.relay import Relay
from replication.replicated_log import ReplicatedLog
from replication.tls import LinkCredentials

KEEPS_UP_ENTRIES: Final = 100  # so far behind a preferred leader may be
RELAY_PAUSE_S: Final = 0.002  # between two looks at what is pending,
RELAY_PAUSE_S_PER_TRANSFER: Final = 0.000_01  # and more the more there is, because each look goes over all of it


class Neighbours:
    """``propose`` puts a command into the own log, or not (``replication.relay``)."""

    def __init__(
        self,
        config: Config,
        credentials: LinkCredentials,
        *,
        poller: EventSource,
        now_s: Callable[[], float],
        time_ns: Callable[[], int],
        propose: Callable[[bytes], None],
    ) -> None:
        self._node_id = credentials.identity.name
        self._credentials = credentials
        self._poller = poller
        self._now_s = now_s
        self._time_ns = time_ns
        self._watch = ConfigWatch(config.path, now_s)
        self._destinations: dict[str, DoorClient] = {}
        self._relay = Relay(config.group, self._destinations, propose)
        self._preference = PreferredLeader()
        self._preferred: str | None = None
        self._relay_due_s = 0.0
        self._take_over(config)

    @property
    def stuck(self) -> int:
        """How many transfers to other groups need somebody who looks at them."""
        return len(self._relay.stuck)

    def tick(self, machine: Machine, log: ReplicatedLog) -> None:
        changed = self._watch.poll()
        if changed is not None and self._relay.name in changed.groups:
            self._take_over(of_group(changed, self._relay.name))
        if not self._destinations:
            return
        for destination in self._destinations.values():
            destination.maintain()
        now_s = self._now_s()
        if now_s >= self._relay_due_s:
            pending = machine.group_transfers.pending_count
            self._relay_due_s = now_s + RELAY_PAUSE_S + pending * RELAY_PAUSE_S_PER_TRANSFER
            self._relay.tick(machine, leading=log.leader_ready, now_s=now_s, now_ns=self._time_ns())
        preferred = self._preferred
        if preferred is None or preferred == self._node_id:
            return
        leads = log.leader_ready
        close_behind = log.match_indexes().get(preferred, 0) >= log.commit_index - KEEPS_UP_ENTRIES
        keeps_up = leads and close_behind and preferred in log.members.answering()
        if self._preference.should_hand_over(leads=leads, keeps_up=keeps_up, now_s=now_s):
            log.membership.hand_over(preferred)

    def close(self) -> None:
        for destination in self._destinations.values():
            destination.close()

    def _take_over(self, config: Config) -> None:
        """Know the groups of this configuration that are new. The links are dialled when they are needed."""
        self._preferred = preferred_leader(config)
        for name, doors in other_groups(config).items():
            if name not in self._destinations:
                self._destinations[name] = DoorClient(
                    group=name,
                    doors=doors,
                    group_id=id_of_group(config, name),
                    credentials=self._credentials,
                    poller=self._poller,
                    now_s=self._now_s,
                    on_result=self._on_result,
                    on_lost=self._on_lost,
                )

    def _on_result(self, transfer_id: int, result: Result) -> None:
        self._relay.on_result(transfer_id, result, self._now_s(), self._time_ns())

    def _on_lost(self, transfer_ids: list[int]) -> None:
        self._relay.on_lost(transfer_ids, self._now_s())
