"""Trades, candles of all intervals, and tickers: what the public sees of a market.

A batch of trades is first gathered second by second, then each second is added to the candle of every interval that
has it, so the work grows with the seconds that had a trade and not with the trades.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from engine.events import TradeExecuted
from engine.types import NS_PER_DAY, NS_PER_S
from projections.best_prices import Best
from projections.candles import INTERVALS, MINUTE_S, Candle, opening_ns
from projections.moment import Moment
from projections.rows import CandleRow, TickerRow, TradeRow

TICKER_WINDOW_NS: Final = NS_PER_DAY
_MINUTE_NS: Final = MINUTE_S * NS_PER_S
_INTERVALS_S: Final = tuple(INTERVALS.values())


def window_opens_ns(timestamp_ns: int) -> int:
    """When the first minute begins of the 24 h that a ticker tells of at this time of the log."""
    return opening_ns(MINUTE_S, timestamp_ns) + _MINUTE_NS - TICKER_WINDOW_NS


def merged(earlier: Candle, later: Candle) -> Candle:
    """Two candles of one interval as one; ``later`` has the trades that came behind those of ``earlier``."""
    return Candle(
        earlier.opens_at_ns,
        earlier.open_ticks,
        max(earlier.high_ticks, later.high_ticks),
        min(earlier.low_ticks, later.low_ticks),
        later.close_ticks,
        earlier.volume_lots + later.volume_lots,
        earlier.notional_units + later.notional_units,
        earlier.trade_count + later.trade_count,
        earlier.first_trade_id,
        later.last_trade_id,
    )


class MarketData:
    """Owns the candles that are not over and the tickers."""

    def __init__(self, moment: Moment) -> None:
        self._moment = moment
        self._trades: list[TradeRow] = []
        self._seconds: dict[tuple[int, int], Candle] = {}  # of the batch, by (market_id, opens_at_ns)
        self._last_trades: dict[int, TradeRow] = {}  # of the batch, by market
        self._candles: dict[tuple[int, int], Candle] = {}  # the newest, by (market_id, interval_s)
        self._tickers: dict[int, TickerRow] = {}  # as they are in the table
        self._minutes: dict[int, deque[Candle]] = {}  # those of the window that traded, by market
        self._window_opens_ns = 0
        self._listed: list[int] = []  # markets that are not in the table yet

    def restore(self, candles: Iterable[CandleRow], tickers: Iterable[TickerRow]) -> None:
        self._window_opens_ns = window_opens_ns(self._moment.timestamp_ns)
        self._tickers = {row.market_id: row for row in tickers}
        self._minutes = {market_id: deque() for market_id in self._tickers}
        for row in sorted(candles):
            candle = Candle(*row[3:])
            self._candles[row.market_id, row.interval_s] = candle
            if row.interval_s == MINUTE_S and candle.opens_at_ns >= self._window_opens_ns:
                self._minutes[row.market_id].append(candle)

    def on_market(self, market_id: int) -> None:
        self._minutes[market_id] = deque()
        self._listed.append(market_id)
        self._tickers[market_id] = TickerRow(0, market_id, *[0] * (len(TickerRow._fields) - 2))

    def on_trade(self, event: TradeExecuted) -> None:
        moment = self._moment
        row = TradeRow(
            moment.group_id,
            event.trade_id,
            moment.sequence,
            moment.event_index,
            moment.timestamp_ns,
            event.market_id,
            event.taker_side,
            event.price_ticks,
            event.quantity_lots,
            event.notional_units,
            event.maker_order_id,
            event.taker_order_id,
            event.maker_account_id,
            event.taker_account_id,
            event.maker_fee_units,
            event.taker_fee_units,
        )
        self._trades.append(row)
        self._last_trades[event.market_id] = row
        key = (event.market_id, moment.timestamp_ns - moment.timestamp_ns % NS_PER_S)
        second = self._seconds.get(key)
        traded = Candle(
            key[1],
            event.price_ticks,
            event.price_ticks,
            event.price_ticks,
            event.price_ticks,
            event.quantity_lots,
            event.notional_units,
            1,
            event.trade_id,
            event.trade_id,
        )
        self._seconds[key] = traded if second is None else merged(second, traded)

    def take(self, best: dict[int, Best]) -> tuple[list[TradeRow], list[CandleRow], list[TickerRow]]:
        """What has changed since the last call. ``best`` has the markets whose book changed."""
        trades, self._trades = self._trades, []
        candles = self._take_candles()
        tickers = self._take_tickers(best)
        self._last_trades = {}
        return trades, candles, tickers

    def _take_candles(self) -> list[CandleRow]:
        changed: dict[tuple[int, int, int], Candle] = {}
        for (market_id, second_ns), second in self._seconds.items():
            for interval_s in _INTERVALS_S:
                opens_at_ns = opening_ns(interval_s, second_ns)
                candle = self._candles.get((market_id, interval_s))
                if candle is None or candle.opens_at_ns != opens_at_ns:
                    candle = second._replace(opens_at_ns=opens_at_ns)
                else:
                    candle = merged(candle, second)
                self._candles[market_id, interval_s] = candle
                changed[market_id, interval_s, opens_at_ns] = candle
                if interval_s == MINUTE_S:
                    self._keep_minute(market_id, candle)
        self._seconds = {}
        group_id = self._moment.group_id
        return [CandleRow(group_id, *key[:2], *candle) for key, candle in changed.items()]

    def _keep_minute(self, market_id: int, candle: Candle) -> None:
        minutes = self._minutes[market_id]
        if minutes and minutes[-1].opens_at_ns == candle.opens_at_ns:
            minutes[-1] = candle
        else:
            minutes.append(candle)

    def _take_tickers(self, best: dict[int, Best]) -> list[TickerRow]:
        rows = []
        opens_ns = window_opens_ns(self._moment.timestamp_ns)
        if opens_ns == self._window_opens_ns:
            due: Iterable[int] = dict.fromkeys((*self._listed, *self._last_trades, *best))
        else:
            due = self._tickers
        self._window_opens_ns = opens_ns
        for market_id in due:
            before = self._tickers[market_id]
            row = self._ticker(before, best.get(market_id))
            if row != before or market_id in self._listed:
                rows.append(row)
        for row in rows:
            self._tickers[row.market_id] = row
        self._listed = []
        return rows

    def _ticker(self, before: TickerRow, best: Best | None) -> TickerRow:
        minutes = self._minutes[before.market_id]
        while minutes and minutes[0].opens_at_ns < self._window_opens_ns:
            minutes.popleft()
        trade = self._last_trades.get(before.market_id)
        if trade is None:
            last = before[2:6]
        else:
            last = (trade.price_ticks, trade.quantity_lots, trade.trade_id, trade.timestamp_ns)
        return TickerRow(
            self._moment.group_id,
            before.market_id,
            *last,
            minutes[0].open_ticks if minutes else 0,
            max((candle.high_ticks for candle in minutes), default=0),
            min((candle.low_ticks for candle in minutes), default=0),
            sum(candle.volume_lots for candle in minutes),
            sum(candle.notional_units for candle in minutes),
            sum(candle.trade_count for candle in minutes),
            *(before[12:] if best is None else best),
        )
