"""Reads that any replica may answer: spread over the followers, the leader if they cannot.

A follower that has not come far enough waits for a moment, one that is cut off from the others refuses at once. The
replica that is asked last is the leader: it has what anybody has.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from gateway.errors import NoLeader, TooOld
from gateway.freshness import AtLeast
from gateway.replica_link import ReplicaLink
from replication.protocol import TOO_OLD, Answer

_ANSWER_S_MAX: Final = 0.5  # for a replica to answer, beyond what it may wait
_SILENCE_S_MAX: Final = 1.5  # every replica says where it stands once a second
_PAUSE_S: Final = 0.05


class Links(NamedTuple):
    leader: ReplicaLink | None
    followers: list[ReplicaLink]


class AskLink(Protocol):
    """Ask one replica; None if it does not answer in time."""

    async def __call__(
        self,
        link: ReplicaLink,
        name: str,
        arguments: dict[str, Any],
        deadline_s: float,
        *,
        min_sequence: int | None,
        wait_ms: int,
    ) -> Answer | None: ...


class FreshReads:
    """``links`` answers those that are open now. ``ask`` may be called by many requests at a time."""

    def __init__(self, links: Callable[[], Links], ask_link: AskLink) -> None:
        self._links = links
        self._ask_link = ask_link
        self._turns = itertools.count()

    async def ask(self, name: str, arguments: dict[str, Any], at_least: AtLeast) -> Answer:
        """The answer of some replica that has executed ``at_least.min_sequence``.

        TooOld if those that could be asked have not come so far in time, NoLeader if none could be asked that is in
        touch with the others.
        """
        deadline_s = asyncio.get_running_loop().time() + at_least.wait_ms / 1_000
        while True:
            furthest: int | None = None
            for link in self._in_turn():
                answer = await self._ask_one(link, name, arguments, at_least.min_sequence, deadline_s)
                if answer is None:
                    continue
                if not answer.error and answer.sequence >= at_least.min_sequence:
                    return answer
                if answer.error in ("", TOO_OLD):
                    furthest = max(furthest or 0, answer.sequence)
            if asyncio.get_running_loop().time() >= deadline_s:
                if furthest is None:
                    raise NoLeader
                raise TooOld(at_least.min_sequence, at_least.wait_ms, furthest)
            await asyncio.sleep(_PAUSE_S)

    async def _ask_one(
        self, link: ReplicaLink, name: str, arguments: dict[str, Any], min_sequence: int, deadline_s: float
    ) -> Answer | None:
        now_s = asyncio.get_running_loop().time()
        wait_s = max(0.0, deadline_s - now_s)
        return await self._ask_link(
            link,
            name,
            arguments,
            now_s + wait_s + _ANSWER_S_MAX,
            min_sequence=min_sequence,
            wait_ms=int(wait_s * 1_000),
        )

    def _in_turn(self) -> list[ReplicaLink]:
        """Whom to ask, one after the other: the followers, each time beginning with the next, and then the leader."""
        links = self._links()
        spoke_since_s = asyncio.get_running_loop().time() - _SILENCE_S_MAX
        followers = [link for link in links.followers if link.heard_at_s >= spoke_since_s]
        if followers:
            first = next(self._turns) % len(followers)
            followers = followers[first:] + followers[:first]
        return followers if links.leader is None else [*followers, links.leader]
