"""One snapshot of the database as a question sees it: which groups, whose rows, and what things are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.engine import Connection

from gateway.errors import ApiError, BadRequest, NotFound, UnknownGroup, shown
from gateway.rendering import Asset, Market, market_of
from projections.kinds import NOBODY
from projections.query.asked import Asked
from projections.schema import accounts, assets, markets, positions


class Group(NamedTuple):
    """A market group as far as it has been projected. ``timestamp_ns`` is the log's time at ``sequence``."""

    group_id: int
    name: str
    sequence: int
    timestamp_ns: int


class BehindHistory(ApiError):
    """``sequence`` is how far the history had come."""

    status = 503

    def __init__(self, min_sequence: int, wait_ms: int, sequence: int) -> None:
        super().__init__(
            "TOO_OLD",
            f"The history has not come to sequence {min_sequence} within {wait_ms} ms. "
            "Ask again, or without min_sequence.",
        )
        self.sequence = sequence


class Source:
    """``groups`` are those that the question is about, in the order in which they were made."""

    def __init__(self, connection: Connection, asked: Asked) -> None:
        """NotFound if it names a group, market or account that there is none of yet."""
        self.connection = connection
        self.asked = asked
        self._assets: dict[tuple[int, int], Asset] = {}
        self._markets: dict[tuple[int, int], Market] = {}
        self._accounts: dict[tuple[int, int], str] = {}
        self.all_groups = read_groups(connection)
        self.groups = list(self.all_groups)
        if asked.get("group") is not None:
            self.groups = [group for group in self.groups if group.name == asked.get("group")]
            if not self.groups:
                raise UnknownGroup(asked.get("group"))
        self.market_ids: dict[int, int] = {}
        if asked.get("market") is not None:
            self.market_ids = self._ids(markets, markets.c.market_id, asked.get("market"))
            self._require(self.market_ids, "UNKNOWN_MARKET", f"There is no market {shown(asked.get('market'))}.")
            self.groups = [group for group in self.groups if group.group_id in self.market_ids]
        self.asset_ids: dict[int, int] = {}
        if asked.get("asset") is not None:
            self.asset_ids = self._ids(assets, assets.c.asset_id, asked.get("asset"))
            self._require(self.asset_ids, "UNKNOWN_ASSET", f"There is no asset {shown(asked.get('asset'))}.")
        self.account_ids: dict[int, int] = {}
        if asked.account is not None:
            self.account_ids = self._ids(accounts, accounts.c.account_id, asked.account)
            if asked.get("account") is not None:
                self._require(self.account_ids, "UNKNOWN_ACCOUNT", f"There is no account {shown(asked.account)}.")

    @property
    def as_of(self) -> dict[str, int]:
        return {group.name: group.sequence for group in self.groups}

    @property
    def as_of_sequence(self) -> int | None:
        """As of which sequence the answer is, if it is about one group."""
        return self.groups[0].sequence if len(self.groups) == 1 else None

    def only_group(self) -> Group:
        """The group of the market that is asked about. BadRequest if several list one of its name."""
        if len(self.groups) != 1:
            raise BadRequest("BAD_QUERY", "Several market groups list this market: the question needs a 'group'.")
        return self.groups[0]

    def require_sequence(self) -> None:
        """BehindHistory if the snapshot does not have the ``min_sequence`` of the question."""
        minimum = self.asked.get("min_sequence")
        if minimum is None:
            return
        if len(self.groups) != 1:
            raise BadRequest("BAD_QUERY", "Each market group counts by itself: 'min_sequence' needs a 'group'.")
        if self.groups[0].sequence < minimum:
            raise BehindHistory(minimum, self.asked.wait_ms, self.groups[0].sequence)

    def name_things(self, wanted: Iterable[tuple[str, int, int]]) -> None:
        """Look up what is not known yet of ("market" | "asset" | "account", group_id, number), each kind at once."""
        distinct = set(wanted)
        for group in self.all_groups:
            here = [(kind, number) for kind, group_id, number in distinct if group_id == group.group_id]
            market_ids = {number for kind, number in here if kind == "market"} - self._known(self._markets, group)
            asset_ids = {number for kind, number in here if kind == "asset"}
            account_ids = {number for kind, number in here if kind == "account"} - self._known(self._accounts, group)
            rows = self._rows(markets, markets.c.market_id, group, market_ids)
            for row in rows:
                asset_ids |= {row["base_asset_id"], row["quote_asset_id"]}
            for row in self._rows(assets, assets.c.asset_id, group, asset_ids - self._known(self._assets, group)):
                self._assets[group.group_id, row["asset_id"]] = Asset(row["asset_id"], row["name"], row["decimals"])
            for row in rows:
                self._markets[group.group_id, row["market_id"]] = self._market_of(group, row)
            for row in self._rows(accounts, accounts.c.account_id, group, account_ids):
                self._accounts[group.group_id, row["account_id"]] = row["name"]

    def market(self, group_id: int, market_id: int) -> Market:
        return self._markets[group_id, market_id]

    def asset(self, group_id: int, asset_id: int) -> Asset:
        return self._assets[group_id, asset_id]

    def account(self, group_id: int, account_id: int) -> str | None:
        """None for nobody: outside the exchange."""
        return None if account_id == NOBODY else self._accounts[group_id, account_id]

    def group_name(self, group_id: int) -> str:
        return next(group.name for group in self.all_groups if group.group_id == group_id)

    def _ids(self, table: Any, number: Any, name: str) -> dict[int, int]:
        """By group, the number of what has this name there."""
        found = {}
        for group in self.groups:
            statement = select(number).where(table.c.group_id == group.group_id, table.c.name == name)
            one = self.connection.execute(statement).scalars().first()
            if one is not None:
                found[group.group_id] = int(one)
        return found

    def _require(self, found: Mapping[int, int], code: str, message: str) -> None:
        """NotFound, unless the history is behind what the question needs: then that is the reason."""
        if not found:
            if len(self.groups) == 1:
                self.require_sequence()
            raise NotFound(code, message, sequence=self.as_of_sequence)

    def _rows(self, table: Any, number: Any, group: Group, numbers: set[int]) -> list[Mapping[str, Any]]:
        if not numbers:
            return []
        statement = select(table).where(table.c.group_id == group.group_id, number.in_(sorted(numbers)))
        return [dict(row) for row in self.connection.execute(statement).mappings()]

    def _market_of(self, group: Group, row: Mapping[str, Any]) -> Market:
        base, quote = (self._assets[group.group_id, row[f"{side}_asset_id"]] for side in ("base", "quote"))
        named = {"base_asset": base.name, "quote_asset": quote.name}
        return market_of({**row, **named, "base_decimals": base.decimals, "quote_decimals": quote.decimals})

    def _known(self, things: Mapping[tuple[int, int], object], group: Group) -> set[int]:
        return {number for group_id, number in things if group_id == group.group_id}


def read_groups(connection: Connection) -> list[Group]:
    """Where each group stands."""
    columns = (positions.c.group_id, positions.c.group_name, positions.c.sequence, positions.c.timestamp_ns)
    return [Group(*row) for row in connection.execute(select(*columns).order_by(positions.c.group_id))]
