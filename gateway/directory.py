"""What is listed: assets and markets by name and number, as the leader told last.

Listings are only ever added, never changed, so an entry that is here is right. (The state of a market, its rules and
its fee tiers do change: ``gateway.markets`` asks the leader for them each time.) One that is not may be new: an unknown
name is looked up once more before a client is told that it does not exist.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.errors import NotFound, shown
from gateway.rendering import Asset, Market, market_of
from replication.protocol import Answer


class Directory:
    """``fetch`` asks the leader for the directory. ``adopt`` lists an asset that another group has, if one does."""

    def __init__(
        self, fetch: Callable[[], Awaitable[Answer]], adopt: Callable[[str], Awaitable[None]] | None = None
    ) -> None:
        self.assets: dict[str, Asset] = {}
        self.markets: dict[str, Market] = {}
        self._markets_by_id: dict[int, Market] = {}
        self._assets_by_id: dict[int, Asset] = {}
        self._fetch = fetch
        self._adopt = adopt

    async def refresh(self) -> int:
        """Fetch everything anew. Answers the sequence as of which it holds."""
        answer = await self._fetch()
        for spec in answer.value["assets"]:
            asset = Asset(spec["asset_id"], spec["name"], spec["decimals"])
            self.assets[asset.name] = asset
            self._assets_by_id[asset.asset_id] = asset
        for spec in answer.value["markets"]:
            market = market_of(spec)
            self.markets[market.name] = market
            self._markets_by_id[market.market_id] = market
        return answer.sequence

    async def market(self, name: str) -> Market:
        if name not in self.markets:
            await self.refresh()
        if name not in self.markets:
            raise NotFound("UNKNOWN_MARKET", f"There is no market {shown(name)}.")
        return self.markets[name]

    async def market_id(self, name: str | None) -> int:
        """The number of a market that a client may have named; 0, which is all of them, if not."""
        return 0 if name is None else (await self.market(name)).market_id

    async def market_by_id(self, market_id: int) -> Market:
        """The market that an event or an order names: it exists."""
        if market_id not in self._markets_by_id:
            await self.refresh()
        return self._markets_by_id[market_id]

    async def asset(self, name: str) -> Asset:
        if name not in self.assets:
            await self.refresh()
        if name not in self.assets and self._adopt is not None:
            await self._adopt(name)
            await self.refresh()
        if name not in self.assets:
            raise NotFound("UNKNOWN_ASSET", f"There is no asset {shown(name)}.")
        return self.assets[name]

    async def asset_by_id(self, asset_id: int) -> Asset:
        """The asset that an event or an answer names: it exists."""
        if asset_id not in self._assets_by_id:
            await self.refresh()
        return self._assets_by_id[asset_id]
