"""One gateway: what its routes share, and how it becomes ready.

At its start a gateway may be given an operator's key. As soon as a leader serves, the key is put into the log if it is
not there yet, owned by the exchange's own account: that is how the first operator of a new exchange comes to be. The
gateway says it is ready only after that.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from engine.codec import encode_command
from engine.commands import CreateApiKey, CreateAsset
from engine.types import EXCHANGE_ACCOUNT
from gateway.auth import KeyRing, SealError, seal, unseal
from gateway.directory import Directory
from gateway.errors import ApiError, ListedElsewhere, NotFound, UnknownGroup, shown
from gateway.groups import Group
from gateway.members import Members
from gateway.metrics import HOME_NAME_DEFAULT, GatewayMetrics
from gateway.outcomes import Outcome, receipt_of
from gateway.parsing import check_id
from gateway.query_link import QueryLink
from replication.protocol import Answer

_BOOTSTRAP_PAUSE_S: Final = 0.5

logger = logging.getLogger(__name__)


class OperatorKeyDiffers(Exception):
    """The exchange knows the operator's key id with another secret: the key file belongs to another exchange."""


class Edge:
    """``bootstrap_operator`` is the (key id, secret) of the first operator, or None.

    ``receive_timeout_ms`` is how long a request may take to arrive. An edge sees the exchange from one market group:
    the first is that of the home group, where accounts and keys are; :meth:`add_group` makes those of the others,
    and ``watch`` runs beside them all and may add more.
    ``groups`` has all of them by name, in the order of the configuration. ``make_id`` makes the id of a request that
    has none, or refuses it with an ApiError, where a request may come again without its client's knowing.
    """

    def __init__(
        self,
        *,
        group: Group,
        metrics: GatewayMetrics,
        master_key: bytes,
        bootstrap_operator: tuple[str, str] | None,
        receive_timeout_ms: int,
        name: str = HOME_NAME_DEFAULT,
        home: Edge | None = None,
        watch: Callable[[], Coroutine[Any, Any, None]] | None = None,
        query_link: QueryLink | None = None,
        make_id: Callable[[], str] | None = None,
    ) -> None:
        self.name = name
        self.group = group
        self.metrics = metrics
        self.master_key = master_key
        self.receive_timeout_s = receive_timeout_ms / 1_000
        self.home = self if home is None else home
        self.groups: dict[str, Edge] = {} if home is None else home.groups
        self.groups[name] = self
        self.keys: KeyRing = KeyRing(master_key, self._fetch_key) if home is None else home.keys
        self.query_link = query_link
        self.members = Members(self.home, group)
        self.directory = Directory(lambda: self._fact("directory", {}), None if home is None else self._adopt_asset)
        self._facts_sequence = 0
        self.not_ready_because = "the gateway is starting"
        self._bootstrap_operator = bootstrap_operator
        self._account_names: dict[int, str] = {}
        self._account_ids: dict[str, int] = {}
        self._make_id = make_id
        self._id_prefix = os.urandom(8).hex()
        self._ids = itertools.count(1)
        self._watch = watch
        self._tasks: list[asyncio.Task[None]] = []

    def add_group(self, name: str, group: Group) -> Edge:
        """The same gateway, seen from another market group."""
        assert self.home is self and name not in self.groups, name
        return Edge(
            group=group,
            metrics=self.metrics,
            master_key=self.master_key,
            bootstrap_operator=None,
            receive_timeout_ms=int(self.receive_timeout_s * 1_000),
            name=name,
            home=self,
            make_id=self._make_id,
        )

    @property
    def facts_sequence(self) -> int:
        """A replica that has come so far knows every account, key, asset and market that this gateway remembers."""
        return max(self._facts_sequence, self.members.facts_sequence)

    async def start(self) -> None:
        """Begin to link and to get ready. The edge of the home starts all that were added before."""
        self.group.start()
        self._tasks = [asyncio.create_task(self._get_ready())]
        if self._watch is not None:
            self._tasks.append(asyncio.create_task(self._watch()))
        for other in self.others():
            await other.start()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self.query_link is not None:
            self.query_link.close()
        for other in self.others():
            await other.stop()
        await self.group.stop()

    def others(self) -> list[Edge]:
        """From the home: the edges of all other groups."""
        return [edge for edge in self.groups.values() if edge is not self] if self.home is self else []

    def of(self, name: str) -> Edge:
        """The edge of the group that a client named."""
        edge = self.groups.get(name)
        if edge is None:
            raise UnknownGroup(name)
        return edge

    def knows_market(self, name: str) -> Edge | None:
        """The edge of the group that lists this market, without asking anybody."""
        return next((edge for edge in self.groups.values() if name in edge.directory.markets), None)

    async def lists(self, name: str) -> Edge:
        """The edge of the group that lists this market; of the home, which will say so, if none does.

        NoLeader if a group does not answer that may list it.
        """
        found = self.knows_market(name)
        if found is None:
            asked = await asyncio.gather(
                *(edge.directory.refresh() for edge in self.groups.values()), return_exceptions=True
            )
            found = self.knows_market(name)
            silent = next((one for one in asked if isinstance(one, BaseException)), None)
            if found is None and silent is not None:
                raise silent
        return self.home if found is None else found

    def unreadiness(self) -> str:
        """Why requests cannot be served right now, or "" if they can."""
        return self.not_ready_because or ("" if self.group.leader is not None else "no replica leads at the moment")

    def new_id(self) -> str:
        """An id for a request whose client gave none, so that this gateway may send it again."""
        return f"gw-{self._id_prefix}-{next(self._ids)}" if self._make_id is None else self._make_id()

    async def account_name(self, account_id: int) -> str:
        """The name of an account that exists. Names never change."""
        if account_id not in self._account_names:
            answer = await self._fact("account", {"account_id": account_id})
            self._account_names[account_id] = answer.value["name"]
        return self._account_names[account_id]

    async def account_id(self, name: str) -> int:
        """The number of the account with this name, which a client gave."""
        check_id(name, "account")
        if name not in self._account_ids and self.home is not self:
            self._account_ids[name] = await self.members.account_id(name)
        if name not in self._account_ids:
            answer = await self._fact("account_by_name", {"name": name})
            if answer.value is None:
                raise NotFound("UNKNOWN_ACCOUNT", f"There is no account {shown(name)}.", sequence=answer.sequence)
            self._account_ids[name] = answer.value["account_id"]
        return self._account_ids[name]

    async def _fetch_key(self, key_id: str) -> dict[str, Any] | None:
        record: dict[str, Any] | None = (await self._fact("api_key", {"key_id": key_id})).value
        return record

    async def _fact(self, name: str, arguments: dict[str, Any]) -> Answer:
        """Ask the leader for something that is never changed once it is there, so that it may be remembered."""
        answer = await self.group.query(name, arguments)
        self._facts_sequence = max(self._facts_sequence, answer.sequence)
        return answer

    async def prepare_market(self, base: str, quote: str) -> None:
        """Before a market is listed here: no other group may list it, and this one needs the home's assets."""
        if len(self.groups) == 1:
            return
        name = f"{base}-{quote}"
        other = await self.home.lists(name)
        if other is not self and name in other.directory.markets:
            raise ListedElsewhere(name, other.name)
        if self is not self.home:
            await self.directory.asset(base)
            await self.directory.asset(quote)

    async def mirror_everywhere(self, name: str) -> list[Outcome]:
        """Tell all other groups how this account of the home stands now."""
        return list(await asyncio.gather(*(edge.members.mirror(name) for edge in self.home.others())))

    async def _adopt_asset(self, name: str) -> None:
        """An asset of the home that this group does not have yet is listed here with the same decimals."""
        asset = await self.home.directory.asset(name)
        command = CreateAsset(EXCHANGE_ACCOUNT, time.time_ns(), asset.decimals, name.encode("ascii"))
        (outcome,) = await self.group.execute([encode_command(command)])
        if isinstance(outcome, ApiError):
            raise outcome
        receipt_of(outcome)

    async def _get_ready(self) -> None:
        while True:
            try:
                if self._bootstrap_operator is not None:
                    await self._bootstrap(*self._bootstrap_operator)
                await self.directory.refresh()
            except ApiError as error:
                self.not_ready_because = f"the group does not answer yet ({error.code})"
            except (SealError, OperatorKeyDiffers) as error:
                logger.error("the operator's key cannot be used: %s", error)
                self.not_ready_because = str(error)
            else:
                self.not_ready_because = ""
                return
            await asyncio.sleep(_BOOTSTRAP_PAUSE_S)

    async def _bootstrap(self, key_id: str, secret: str) -> None:
        record = await self._fetch_key(key_id)
        if record is None:
            command = CreateApiKey(
                account_id=EXCHANGE_ACCOUNT,
                issued_at_ns=time.time_ns(),
                owner_account_id=EXCHANGE_ACCOUNT,
                key_id=key_id.encode("ascii"),
                sealed_secret=seal(self.master_key, key_id, secret.encode()),
            )
            # Another gateway may do the same at the same moment: the refusal brings us back here, to compare.
            (outcome,) = await self.group.execute([encode_command(command)])
            if isinstance(outcome, ApiError):
                raise outcome
            receipt = receipt_of(outcome)
            logger.info("operator key %s created, sequence %d", key_id, receipt.sequence)
        elif unseal(self.master_key, key_id, record["sealed_secret"]) != secret.encode():
            raise OperatorKeyDiffers(f"the exchange knows the key {key_id} with another secret")
