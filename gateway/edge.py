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
from typing import Any, Final

from engine.codec import encode_command
from engine.commands import CreateApiKey
from engine.types import EXCHANGE_ACCOUNT
from gateway.auth import KeyRing, SealError, seal, unseal
from gateway.directory import Directory
from gateway.errors import ApiError, NotFound, shown
from gateway.groups import Group
from gateway.metrics import GatewayMetrics
from gateway.outcomes import receipt_of
from gateway.parsing import check_id
from replication.protocol import Answer

_BOOTSTRAP_PAUSE_S: Final = 0.5

logger = logging.getLogger(__name__)


class OperatorKeyDiffers(Exception):
    """The exchange knows the operator's key id with another secret: the key file belongs to another exchange."""


class Edge:
    """``bootstrap_operator`` is the (key id, secret) of the first operator, or None.

    ``receive_timeout_ms`` is how long a request may take to arrive.
    """

    def __init__(
        self,
        *,
        group: Group,
        metrics: GatewayMetrics,
        master_key: bytes,
        bootstrap_operator: tuple[str, str] | None,
        receive_timeout_ms: int,
    ) -> None:
        self.group = group
        self.metrics = metrics
        self.master_key = master_key
        self.receive_timeout_s = receive_timeout_ms / 1_000
        self.keys = KeyRing(master_key, self._fetch_key)
        self.directory = Directory(lambda: self._fact("directory", {}))
        self.facts_sequence = 0
        """A replica that has come so far knows every account, key, asset and market that this gateway remembers."""
        self.not_ready_because = "the gateway is starting"
        self._bootstrap_operator = bootstrap_operator
        self._account_names: dict[int, str] = {}
        self._account_ids: dict[str, int] = {}
        self._id_prefix = os.urandom(8).hex()
        self._ids = itertools.count(1)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.group.start()
        self._task = asyncio.create_task(self._get_ready())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        await self.group.stop()

    def unreadiness(self) -> str:
        """Why requests cannot be served right now, or "" if they can."""
        return self.not_ready_because or ("" if self.group.leader is not None else "no replica leads at the moment")

    def new_id(self) -> str:
        """An id for a request whose client gave none, so that this gateway may send it again."""
        return f"gw-{self._id_prefix}-{next(self._ids)}"

    async def account_name(self, account_id: int) -> str:
        """The name of an account that exists. Names never change."""
        if account_id not in self._account_names:
            answer = await self._fact("account", {"account_id": account_id})
            self._account_names[account_id] = answer.value["name"]
        return self._account_names[account_id]

    async def account_id(self, name: str) -> int:
        """The number of the account with this name, which a client gave."""
        check_id(name, "account")
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
        self.facts_sequence = max(self.facts_sequence, answer.sequence)
        return answer

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
