"""Whether the replica beside us leads, as it says itself at its door."""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from replication.blocking_door import BlockingDoor, DoorUnreachable
from replication.config import Config, node_addresses
from replication.market_groups import group_id
from replication.tls import LinkCredentials

ANSWER_TIMEOUT_S: Final = 2.0

logger = logging.getLogger(__name__)


class Standing(NamedTuple):
    """``serving``: it leads and has executed all that is committed, to ``sequence``. Zeros while it does not answer."""

    serving: bool = False
    term: int = 0
    sequence: int = 0


class Leadership:
    """Of one node in the group of the configuration (``replication.market_groups.of_group``)."""

    def __init__(self, config: Config, node_id: str, credentials: LinkCredentials) -> None:
        self._node_id = node_id
        self._address = node_addresses(config, node_id).door
        self._group_id = group_id(config)
        self._credentials = credentials
        self._door: BlockingDoor | None = None

    def look(self) -> Standing:
        """Ask. Blocks for some seconds at most, if the replica hangs."""
        try:
            if self._door is None:
                self._door = BlockingDoor(
                    self._node_id,
                    self._address,
                    self._group_id,
                    self._credentials,
                    answer_timeout_s=ANSWER_TIMEOUT_S,
                )
            answer = self._door.ask("status")
        except DoorUnreachable as error:
            logger.debug("%s", error)
            self.close()
            return Standing()
        if answer.error:
            logger.warning("%s does not tell whether it leads: %s", self._node_id, answer.error)
            return Standing()
        told = answer.value
        return Standing(bool(told["serving"]), int(told["term"]), int(told["sequence"]))

    def close(self) -> None:
        if self._door is not None:
            self._door.close()
            self._door = None
