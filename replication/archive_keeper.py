"""Keeps the archive of a running replica complete and sound, in rounds that children work off beside it.

The replica never waits for its archive to be mended: what it executes does not depend on it. A round is one child
(``replication.forked``), which ends after a bounded amount of work (``replication.archive_round``). There is one soon
after a start or after a snapshot was taken over, one after the other while something is missing and the others have it,
ever more rarely while they have not, and one every few minutes to verify one more segment. Where somebody who read in
the archive met damage, that segment is verified next.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from replication.archive import list_segments
from replication.archive_round import Report, Round, look_after
from replication.entry_source import Door, EntrySource
from replication.forked import ask_child
from replication.poller import EventSource
from replication.replica import Replica
from replication.tls import LinkCredentials

logger = logging.getLogger(__name__)

FIRST_ROUND_S: Final = 5.0
SCRUB_EVERY_S: Final = 300.0
PAUSE_S: Final = 1.0
PAUSE_S_MAX: Final = 300.0

_NICENESS: Final = 10  # orders come first

_encode = msgspec.json.Encoder().encode
_decode_report = msgspec.json.Decoder(Report).decode


class ArchiveKeeper:
    """``report`` is the newest of a round."""

    def __init__(
        self,
        replica: Replica,
        directory: Path,
        *,
        poller: EventSource,
        now_s: Callable[[], float],
        other_doors: Callable[[], list[Door]],
        group_id: bytes,
        credentials: LinkCredentials,
    ) -> None:
        """``other_doors`` are those of the other replicas of the group, in the order in which they should be asked."""
        self.report = Report()
        self._has_looked = False
        self._replica = replica
        self._directory = directory
        self._poller = poller
        self._now_s = now_s
        self._other_doors = other_doors
        self._group_id = group_id
        self._credentials = credentials
        self._cancel: Callable[[], None] | None = None
        self._archives_opened = 0
        self._due_s = self._scrub_due_s = now_s() + SCRUB_EVERY_S
        self._pause_s = PAUSE_S
        self._turn = 0
        self._scrub_from: int | None = None  # not known before the first scrub
        self._verified_up_to = 0
        self._repeated_problem = ""

    def tick(self) -> None:
        """Start a round if one is due. Call it in every tick."""
        now_s = self._now_s()
        if self._replica.archives_opened != self._archives_opened:
            self._archives_opened = self._replica.archives_opened
            self._due_s = min(self._due_s, now_s + FIRST_ROUND_S)
        if self._replica.suspected_sequence:
            self._due_s = min(self._due_s, now_s + PAUSE_S)
        if self._cancel is None and now_s >= self._due_s:
            self._start()

    def close(self) -> None:
        """End the round under way: another will go on from there."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    def details(self) -> dict[str, Any]:
        """For operators. ``missing`` is None before the first round."""
        return {
            "missing": self.report.missing if self._has_looked else None,
            "holes": self.report.holes,
            "damaged_files": self.report.damaged_files,
            "verified_up_to": self._verified_up_to,
            "problem": self.report.problem,
        }

    def _start(self) -> None:
        now_s = self._now_s()
        self._due_s = now_s + self._pause_s  # if the machine has no process left
        asked = Round(self._next_scrub(now_s), self._turn)
        doors, group_id, credentials = self._other_doors(), self._group_id, self._credentials

        def open_source() -> EntrySource | None:
            return EntrySource(doors, group_id=group_id, credentials=credentials) if doors else None

        def work() -> bytes:
            os.nice(_NICENESS)
            return _encode(look_after(self._directory, asked, open_source))

        self._turn += 1
        self._replica.flush_archive()
        try:
            self._cancel = ask_child(
                self._poller,
                work,
                "looking after the archive",
                lambda answer: self._on_report(asked, answer),
            )
        except OSError as error:
            logger.warning("cannot look after the archive now: %s", error)

    def _next_scrub(self, now_s: float) -> int | None:
        """Where the segment that is to be verified next begins, if one is due."""
        suspected, self._replica.suspected_sequence = self._replica.suspected_sequence, 0
        if suspected:
            segments = list_segments(self._directory)
            if segments and suspected >= segments[-1].first_sequence:
                self._replica.end_segment()
            return suspected
        if now_s < self._scrub_due_s:
            return None
        self._scrub_due_s = now_s + SCRUB_EVERY_S
        if self._scrub_from is None:
            # Somewhere: a replica that is restarted every day would never come to the end.
            self._scrub_from = int.from_bytes(os.urandom(8), "little") % max(1, self._replica.machine.sequence)
        return self._scrub_from

    def _on_report(self, asked: Round, answer: bytes | None) -> None:
        self._cancel = None
        now_s = self._now_s()
        if answer is None:  # it has said why
            self._back_off(now_s)
            return
        report = _decode_report(answer)
        if report.mended is not None:
            logger.info("the archive has sequences %d to %d, from the other replicas", *report.mended)
        if asked.scrub_from is not None and asked.scrub_from == self._scrub_from:
            self._verified_up_to = report.scrubbed
            self._scrub_from = report.scrubbed + 1
        if report.suspected:
            self._replica.suspected_sequence = report.suspected
        if report.damaged_files != self.report.damaged_files or report.mended is not None:
            self._replica.archive_changed()
        self.report, self._has_looked = report, True
        self._say_problem()
        if not report.holes and not report.problem:
            self._pause_s = PAUSE_S
            self._due_s = self._scrub_due_s
        elif report.progressed:
            self._pause_s = PAUSE_S
            self._due_s = now_s + PAUSE_S
        else:
            self._back_off(now_s)

    def _back_off(self, now_s: float) -> None:
        self._due_s = now_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, PAUSE_S_MAX)

    def _say_problem(self) -> None:
        """Once, as long as it stays the same."""
        problem = self.report.problem
        if problem == self._repeated_problem:
            return
        self._repeated_problem = problem
        if problem and self.report.differs:
            logger.critical("the archive is not mended, a person must look: %s", problem)
        elif problem and self.report.holes:
            logger.warning("%d commands are missing in the archive: %s", self.report.missing, problem)
        elif problem:
            logger.warning("the archive could not be looked after: %s", problem)
