"""What an account had at a time, and every change between two times: a double-entry statement that must add up.

A line tells what one event changed of one asset, and what the account has after it. So each line must begin where the
one before it ended, the first where the period opens and the last where it closes. All of this is checked each time;
a statement that does not add up is not shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import select, tuple_
from sqlalchemy.sql.elements import ColumnElement

from engine.amounts import format_units
from gateway.errors import ApiError, BadRequest
from gateway.rendering import timestamp_text
from projections.kinds import LINE_KIND_NAMES, NOBODY
from projections.query.export import Row
from projections.query.source import Group, Source
from projections.query.streams import Found, Stream
from projections.query.times import sequences_between
from projections.schema import balances, ledger_lines

_KEYS: Final = (ledger_lines.c.sequence, ledger_lines.c.event_index)


class Holding(NamedTuple):
    """An asset of the account in a group."""

    group: Group
    account_id: int
    asset_id: int


class Units(NamedTuple):
    available: int
    held: int


NOTHING: Final = Units(0, 0)


class StatementDisagrees(ApiError):
    """Our fault: the projections are damaged."""

    status = 500

    def __init__(self, sequence: int) -> None:
        super().__init__(
            "STATEMENT_DISAGREES",
            f"The account's lines do not add up at sequence {sequence}, so they are not shown. "
            "The operator must build the projections anew: `tally projector rebuild`.",
        )


def holdings(source: Source) -> list[Holding]:
    """All that the account has or ever had, of the assets that the question is about."""
    if source.asked.account is None:
        raise BadRequest("BAD_QUERY", "The query parameter 'account' is missing: a ledger is of one account.")
    found = []
    for group in source.groups:
        account_id = source.account_ids.get(group.group_id)
        if account_id is None:
            continue
        statement = (
            select(balances.c.asset_id)
            .where(balances.c.group_id == group.group_id, balances.c.account_id == account_id)
            .order_by(balances.c.asset_id)
        )
        if source.asked.get("asset") is not None:
            statement = statement.where(balances.c.asset_id == source.asset_ids.get(group.group_id, 0))
        asset_ids = list(source.connection.execute(statement).scalars())
        found += [Holding(group, account_id, asset_id) for asset_id in asset_ids]
    return found


def balance_rows(source: Source, before_ns: int | None) -> list[Row]:
    """What the account had before a time, or has, of each of its assets."""
    held = holdings(source)
    source.name_things(
        [("asset", one.group.group_id, one.asset_id) for one in held]
        + [("account", one.group.group_id, one.account_id) for one in held]
    )
    rows = []
    for one in held:
        units = balance_before(source, one, before_ns)
        decimals = source.asset(one.group.group_id, one.asset_id).decimals
        rows.append(
            {
                "group": one.group.name,
                "account": source.account(one.group.group_id, one.account_id),
                "asset": source.asset(one.group.group_id, one.asset_id).name,
                "available": format_units(units.available, decimals),
                "held": format_units(units.held, decimals),
                "total": format_units(sum(units), decimals),
            }
        )
    return rows


def balance_before(source: Source, holding: Holding, before_ns: int | None) -> Units:
    """After the last line before a time; None: as it stands."""
    if before_ns is None:
        now = select(balances.c.available_units, balances.c.held_units).where(
            balances.c.group_id == holding.group.group_id,
            balances.c.account_id == holding.account_id,
            balances.c.asset_id == holding.asset_id,
        )
        return Units(*source.connection.execute(now).one())
    times = sequences_between(source.connection, holding.group.group_id, None, before_ns)
    conditions: list[ColumnElement[bool]] = [ledger_lines.c.timestamp_ns < before_ns]
    if times.high is not None:
        conditions.append(ledger_lines.c.sequence < times.high)
    return _last(source, holding, conditions)


def line_streams(source: Source) -> list[Stream]:
    """One for each asset: lines of an asset stand together."""
    from_ns, to_ns = source.asked.get("from"), source.asked.get("to")
    streams = []
    for holding in holdings(source):
        times = sequences_between(source.connection, holding.group.group_id, from_ns, to_ns)
        filters = []
        if not times.low_is_exact:
            filters.append(ledger_lines.c.timestamp_ns >= from_ns)
        if not times.high_is_exact:
            filters.append(ledger_lines.c.timestamp_ns < to_ns)
        streams.append(
            Stream(
                table=ledger_lines,
                group_id=holding.group.group_id,
                keys=_KEYS,
                time=ledger_lines.c.timestamp_ns,
                given=tuple(_of(holding)),
                filters=tuple(filters),
                low=times.low,
                high=times.high,
                rank=holding.asset_id,
            )
        )
    return streams


def line_rows(source: Source, page: Sequence[Found]) -> list[Row]:
    _check(source, page)
    wanted = [("asset", one.stream.group_id, one.row["asset_id"]) for one in page]
    for name in ("account_id", "other_account_id"):
        wanted += [("account", one.stream.group_id, one.row[name]) for one in page if one.row[name] != NOBODY]
    source.name_things(wanted)
    return [_row(source, one) for one in page]


def check_closing(source: Source, page: Sequence[Found]) -> None:
    """After the last page: what its lines came to must be what the account had when the period closed."""
    groups = {group.group_id: group for group in source.groups}
    last = {(one.stream.group_id, one.row["asset_id"]): one.row for one in page}
    for (group_id, asset_id), row in last.items():
        holding = Holding(groups[group_id], row["account_id"], asset_id)
        if balance_before(source, holding, source.asked.get("to")) != Units(row["available_units"], row["held_units"]):
            raise StatementDisagrees(row["sequence"])


def _check(source: Source, page: Sequence[Found]) -> None:
    """Every line must begin where the one before it of its asset ended, whether that is in this page or not."""
    groups = {group.group_id: group for group in source.groups}
    ended: dict[Holding, Units] = {}
    for one in page:
        row = one.row
        holding = Holding(groups[one.stream.group_id], row["account_id"], row["asset_id"])
        if holding not in ended:
            before = tuple_(*_KEYS) < (row["sequence"], row["event_index"])
            ended[holding] = _last(source, holding, [before])
        changed = Units(row["available_change_units"], row["held_change_units"])
        after = Units(row["available_units"], row["held_units"])
        if Units(*(was + change for was, change in zip(ended[holding], changed, strict=True))) != after:
            raise StatementDisagrees(row["sequence"])
        ended[holding] = after


def _last(source: Source, holding: Holding, conditions: Sequence[Any]) -> Units:
    statement = (
        select(ledger_lines.c.available_units, ledger_lines.c.held_units)
        .where(*_of(holding), *conditions)
        .order_by(*(key.desc() for key in _KEYS))
        .limit(1)
    )
    row = source.connection.execute(statement).first()
    return NOTHING if row is None else Units(*row)


def _of(holding: Holding) -> list[ColumnElement[bool]]:
    return [
        ledger_lines.c.group_id == holding.group.group_id,
        ledger_lines.c.account_id == holding.account_id,
        ledger_lines.c.asset_id == holding.asset_id,
    ]


def _row(source: Source, found: Found) -> Row:
    group_id, row = found.stream.group_id, found.row
    asset = source.asset(group_id, row["asset_id"])
    return {
        "group": source.group_name(group_id),
        "account": source.account(group_id, row["account_id"]),
        "asset": asset.name,
        "sequence": row["sequence"],
        "event_index": row["event_index"],
        "timestamp": timestamp_text(row["timestamp_ns"]),
        "kind": LINE_KIND_NAMES[row["kind"]],
        "reference_id": row["reference_id"],
        "other_account": source.account(group_id, row["other_account_id"]),
        "available_change": format_units(row["available_change_units"], asset.decimals),
        "held_change": format_units(row["held_change_units"], asset.decimals),
        "available": format_units(row["available_units"], asset.decimals),
        "held": format_units(row["held_units"], asset.decimals),
    }
