"""Reading the history of one market group from the doors of its replicas: every entry once, in order, verified.

For programs beside the cluster (projectors, exporters) and for a replica that mends its archive. It blocks and uses no
threads::

    config = of_group(load_config(file), "default")                  # replication.market_groups
    credentials = load_credentials(config, READER, "reader-1")       # replication.tls, `tally admin certs --reader`
    with EntrySource.of_group(config, credentials, sequence=last_sequence, chain=last_chain) as source:
        while True:
            for entry in source.read(wait_s=1.0):                    # engine.entry.Entry
                ...                                                  # source.sequence and source.chain move along

:meth:`EntrySource.read` answers what follows the position ``(sequence, chain)``: the last sequence and the chain value
of the last entry that was handed out, or 0 and GENESIS_CHAIN. A stretch of entries comes at once where there are any;
at the end of the history it waits up to ``wait_s`` for more, and answers ``[]`` only when a replica said that there is
nothing yet. ``for entry in source`` reads up to the end and stops there. The position survives every exception, so
whoever stores it with what it made of the entries goes on from there after a restart.

Every replica answers from its own archive. One whose link breaks, which is cut off from the others, is behind the
position, or whose archive lacks or has damaged the next entry, is left for the next one. What ends in an exception::

    EntrySourceError
      +-- DoorsUnreachable    no replica answered in time: reading again later may help
      +-- EntryMissing        replicas answered, and none of them has the entry with this sequence
      +-- HistoryDiffers      a replica has another history than the one that was read so far: a person must look

The question, ``entries`` with ``after_sequence``, is answered with the fields of
``replication.archive_reader.EncodedEntries``; ``offset`` asks for the further pieces of a very large entry. A question
costs a replica at most 256 KiB of reading, and a place that is far away is found in several questions.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from engine.entry import GENESIS_CHAIN, Entry, EntryError, decode_entry
from replication.archive import ArchiveDamaged, verified_entry
from replication.blocking_door import BlockingDoor, DoorUnreachable
from replication.config import Config
from replication.identity import NODE
from replication.market_groups import group_id
from replication.protocol import CUT_OFF, TOO_MANY_READS, TOO_OLD
from replication.tls import LinkCredentials

logger = logging.getLogger(__name__)

WAIT_S_MAX: Final = 5.0  # of one question; a replica allows twice as much
REDIAL_PAUSE_S: Final = 0.2
ANSWER_TIMEOUT_S: Final = 3.0  # a replica that is in order answers within milliseconds

_BUSY: Final = (CUT_OFF, TOO_MANY_READS)

Door = tuple[str, str, int]
"""A node's name, and the host and port of its door."""


class EntrySourceError(Exception):
    """The history cannot be read on. ``sequence`` is the first that is not read yet."""

    def __init__(self, sequence: int, reason: str) -> None:
        super().__init__(reason)
        self.sequence = sequence


class DoorsUnreachable(EntrySourceError):
    """No replica answered in time."""


class EntryMissing(EntrySourceError):
    """No replica that answers has this entry."""


class HistoryDiffers(EntrySourceError):
    """A replica's history does not continue the one that was read so far: one of both is not this group's."""


class _NotHere(Exception):
    """This replica cannot tell what comes next, another one may. ``lacks_it``: its archive does not have the entry."""

    def __init__(self, reason: str, *, lacks_it: bool = False) -> None:
        super().__init__(reason)
        self.lacks_it = lacks_it


class EntrySource:
    """``sequence`` and ``chain`` are the position; ``last_sequence`` is how far a replica was when it last told."""

    def __init__(
        self,
        doors: Iterable[Door],
        *,
        group_id: bytes,
        credentials: LinkCredentials,
        sequence: int = 0,
        chain: bytes = GENESIS_CHAIN,
    ) -> None:
        """Nothing is dialled before the first :meth:`read`. The first door is asked first."""
        self.sequence, self.chain = sequence, chain
        self.last_sequence = 0
        self._group_id = group_id
        self._credentials = credentials
        self._addresses = {node_id: (host, port) for node_id, host, port in doors}
        assert self._addresses, "a history has at least one replica"
        self._turns = deque(self._addresses)  # whom to ask, now and next
        self._link: BlockingDoor | None = None

    @classmethod
    def of_group(
        cls, config: Config, credentials: LinkCredentials, *, sequence: int = 0, chain: bytes = GENESIS_CHAIN
    ) -> EntrySource:
        """The history of the group whose view the configuration is (``replication.market_groups.of_group``)."""
        doors = [(node_id, *addresses.door) for node_id, addresses in config.nodes.items()]
        return cls(doors, group_id=group_id(config), credentials=credentials, sequence=sequence, chain=chain)

    def __enter__(self) -> EntrySource:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Entry]:
        """All entries that are there by now."""
        while stretch := self.read():
            yield from stretch

    def close(self) -> None:
        """Hang up; another :meth:`read` would dial again."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def read(self, wait_s: float = 0.0) -> list[Entry]:
        """The next entries; ``[]`` if there are none yet after ``wait_s``. EntrySourceError as in the module's text.

        Each replica is tried at least once before an exception; those that cannot be reached, until ``wait_s`` is over.
        """
        deadline_s = time.monotonic() + wait_s
        while True:
            refusals: dict[str, _NotHere] = {}
            while len(refusals) < len(self._addresses):
                node_id = self._turns[0]
                try:
                    return self._read_from(node_id, deadline_s)
                except (_NotHere, DoorUnreachable) as refusal:
                    refusals[node_id] = refusal if isinstance(refusal, _NotHere) else _NotHere(str(refusal))
                    logger.info("reading on elsewhere after sequence %d: %s", self.sequence, refusal)
                    self.close()
                    self._turns.rotate(-1)  # the order of the others stays, whatever is learnt of members meanwhile
            reasons = "; ".join(str(refusal) for refusal in refusals.values())
            if any(refusal.lacks_it for refusal in refusals.values()):
                raise EntryMissing(
                    self.sequence + 1, f"no replica that answers has sequence {self.sequence + 1}: {reasons}"
                )
            if time.monotonic() + REDIAL_PAUSE_S >= deadline_s:
                raise DoorsUnreachable(
                    self.sequence + 1, f"no replica tells what follows sequence {self.sequence}: {reasons}"
                )
            time.sleep(REDIAL_PAUSE_S)

    def _read_from(self, node_id: str, deadline_s: float) -> list[Entry]:
        """What one replica has; waits there for more if it has nothing yet."""
        if self._link is None:
            self._link = BlockingDoor(
                node_id,
                self._addresses[node_id],
                self._group_id,
                self._credentials,
                answer_timeout_s=ANSWER_TIMEOUT_S,
            )
        waits = False
        while True:
            told = self._ask(node_id, deadline_s if waits else None)
            if told is None or not (told["entries"] or told["piece"] or told["more"]):
                if time.monotonic() >= deadline_s:
                    return []
                waits = True
            elif told["piece"]:
                return self._verified(node_id, [self._whole(node_id, told)], told["chain_before"])
            elif told["entries"]:
                return self._verified(node_id, told["entries"], told["chain_before"])

    def _ask(self, node_id: str, deadline_s: float | None, offset: int = 0) -> Mapping[str, Any] | None:
        """One answer, at once or when there is something new; None if there is nothing until then."""
        assert self._link is not None
        min_sequence, wait_ms = None, 0
        if deadline_s is not None:
            wait_s = min(WAIT_S_MAX, max(0.0, deadline_s - time.monotonic()))
            min_sequence, wait_ms = self.sequence + 1, int(wait_s * 1_000)
        answer = self._link.ask(
            "entries", min_sequence=min_sequence, wait_ms=wait_ms, after_sequence=self.sequence, offset=offset
        )
        self._learn_doors()
        if answer.error == TOO_OLD and min_sequence is not None:
            return None
        if answer.error:
            raise _NotHere(f"{node_id}: {answer.error}", lacks_it=answer.error not in _BUSY)
        told: Mapping[str, Any] = answer.value
        self.last_sequence = told["last_sequence"]
        if told["first_missing"] is not None:
            raise _NotHere(f"{node_id} lacks sequence {told['first_missing']}", lacks_it=True)
        if self.last_sequence < self.sequence:
            raise _NotHere(f"{node_id} is only at sequence {self.last_sequence}")
        return told

    def _whole(self, node_id: str, told: Mapping[str, Any]) -> bytes:
        """Fetch the rest of an entry that came in pieces."""
        body = bytearray(told["piece"])
        while len(body) < told["entry_bytes"]:
            more = self._ask(node_id, None, len(body))
            assert more is not None
            if not more["piece"]:
                raise _NotHere(f"{node_id}: the entry ends after {len(body)} bytes", lacks_it=True)
            body += more["piece"]
        return bytes(body)

    def _verified(self, node_id: str, bodies: list[bytes], chain_before: bytes) -> list[Entry]:
        """Verify a stretch and move the position behind it. What is sound before a damaged entry is handed out."""
        entries: list[Entry] = []
        for body in bodies:
            try:
                entry = verified_entry(body, self.sequence + 1, self.chain)
            except ArchiveDamaged as damage:
                if entries:
                    break
                self._require_same_history(node_id, body, chain_before)
                raise _NotHere(f"{node_id}: {damage}", lacks_it=True) from None
            self.sequence, self.chain = entry.last_sequence, entry.chain
            entries.append(entry)
        return entries

    def _require_same_history(self, node_id: str, body: bytes, chain_before: bytes) -> None:
        """HistoryDiffers if the entry is sound, but follows something else than what was read so far."""
        try:
            first_sequence = decode_entry(body).first_sequence
            verified_entry(body, first_sequence, chain_before)
        except (ArchiveDamaged, EntryError):
            return
        if first_sequence == self.sequence + 1:
            difference = f"its chain value there is {chain_before.hex()}, ours is {self.chain.hex()}"
        elif first_sequence <= self.sequence:
            difference = f"sequence {self.sequence} is in the middle of its entry from sequence {first_sequence} on"
        else:
            return
        raise HistoryDiffers(
            self.sequence + 1, f"{node_id} has another history after sequence {self.sequence}: {difference}"
        )

    def _learn_doors(self) -> None:
        """The members of the group may change: the replica tells who they are."""
        assert self._link is not None
        told = self._link.status
        if told is None or not told.doors:
            return
        current = self._turns[0]  # it may be no member any more, but its history is as good
        self._addresses = {current: self._addresses[current], **told.doors}
        if self._credentials.identity.role == NODE and self._credentials.identity.name != current:
            self._addresses.pop(self._credentials.identity.name, None)  # nobody asks itself
        known = [node_id for node_id in self._turns if node_id in self._addresses]
        self._turns = deque([*known, *(node_id for node_id in self._addresses if node_id not in known)])
