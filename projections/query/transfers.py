"""Money that entered, left or changed hands other than by trades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import and_, or_
from sqlalchemy.engine import RowMapping
from sqlalchemy.sql.elements import ColumnElement

from engine.amounts import format_units
from engine.rejects import reason_code
from engine.types import TRANSFER_STATUS_NAMES, WITHDRAWAL_STATUS_NAMES
from gateway.rendering import optional_timestamp_text, timestamp_text
from projections.kinds import NOBODY, TRANSFER_KIND_NAMES, WITHDRAWAL
from projections.query.export import Row
from projections.query.source import Group, Source
from projections.query.streams import Found, Stream
from projections.query.times import sequences_between
from projections.schema import transfers

_KEYS: Final = (transfers.c.transfer_id,)
_BY_REFERENCE: Final = "transfers_by_reference"


def transfer_streams(source: Source) -> list[Stream]:
    """What went from the account and what came to it; everything, if no account is named."""
    streams: list[Stream] = []
    for group in source.groups:
        account_id = source.account_ids.get(group.group_id)
        if source.asked.account is None:
            index = "" if source.asked.get("reference") is None else _BY_REFERENCE
            streams.append(_stream(source, group, (), index=index))
        elif account_id is not None:
            streams += _streams_of_account(source, group, account_id)
    return streams


def transfer_rows(source: Source, page: Sequence[Found]) -> list[Row]:
    wanted = [("asset", one.stream.group_id, one.row["asset_id"]) for one in page if one.row["asset_id"]]
    for name in ("account_id", "to_account_id"):
        wanted += [("account", one.stream.group_id, one.row[name]) for one in page if one.row[name] != NOBODY]
    source.name_things(wanted)
    return [_row(source, one.stream.group_id, one.row) for one in page]


def _streams_of_account(source: Source, group: Group, account_id: int) -> list[Stream]:
    reference = source.asked.get("reference")
    if reference is not None:
        either = or_(transfers.c.account_id + 0 == account_id, transfers.c.to_account_id + 0 == account_id)
        return [_stream(source, group, (), either, index=_BY_REFERENCE)]
    came = (transfers.c.to_account_id == account_id,)
    return [
        _stream(source, group, (transfers.c.account_id == account_id,), index="transfers_by_account"),
        # What it sent to itself is in the first.
        _stream(source, group, came, transfers.c.account_id + 0 != account_id, index="transfers_by_to_account"),
    ]


def _stream(
    source: Source, group: Group, given: Sequence[ColumnElement[bool]], *filters: ColumnElement[bool], index: str
) -> Stream:
    asked = source.asked
    times = sequences_between(source.connection, group.group_id, asked.get("from"), asked.get("to"))
    more = list(filters)
    if not times.low_is_exact:
        more.append(transfers.c.created_at_ns >= asked.get("from"))
    if not times.high_is_exact:
        more.append(transfers.c.created_at_ns < asked.get("to"))
    if asked.get("asset") is not None:
        more.append(transfers.c.asset_id == source.asset_ids.get(group.group_id, 0))
    if asked.get("kind") is not None:
        more.append(transfers.c.kind == TRANSFER_KIND_NAMES.index(asked.get("kind")))
    if asked.get("status") is not None:
        more.append(_has_status(asked.get("status")))
    by_reference = () if asked.get("reference") is None else (transfers.c.reference == asked.get("reference"),)
    return Stream(
        table=transfers,
        group_id=group.group_id,
        keys=_KEYS,
        time=transfers.c.created_at_ns,
        given=(transfers.c.group_id == group.group_id, *given, *by_reference),
        filters=tuple(more),
        low=times.low,
        high=times.high,
        index=index,
    )


def _has_status(name: str) -> ColumnElement[bool]:
    """Withdrawals have names of their own for what is a number in both."""
    of_withdrawals, of_others = WITHDRAWAL_STATUS_NAMES, TRANSFER_STATUS_NAMES
    ways = []
    if name in of_withdrawals:
        ways.append(and_(transfers.c.kind == WITHDRAWAL, transfers.c.status == of_withdrawals.index(name)))
    if name in of_others:
        ways.append(and_(transfers.c.kind != WITHDRAWAL, transfers.c.status == of_others.index(name)))
    return or_(*ways)


def _row(source: Source, group_id: int, row: RowMapping) -> Row:
    asset = source.asset(group_id, row["asset_id"]) if row["asset_id"] else None
    statuses = WITHDRAWAL_STATUS_NAMES if row["kind"] == WITHDRAWAL else TRANSFER_STATUS_NAMES
    return {
        "group": source.group_name(group_id),
        "transfer_id": row["transfer_id"],
        "kind": TRANSFER_KIND_NAMES[row["kind"]],
        "account": source.account(group_id, row["account_id"]),
        "to_account": source.account(group_id, row["to_account_id"]),
        "other_group": row["other_group"] or None,
        "asset": None if asset is None else asset.name,
        "amount": None if asset is None else format_units(row["amount_units"], asset.decimals),
        "status": statuses[row["status"]],
        "refusal": reason_code(row["refusal"]) if row["refusal"] else None,
        "reference": row["reference"],
        "destination": row["destination"] or None,
        "expires_at": optional_timestamp_text(row["expires_at_ns"]),
        "created_at": timestamp_text(row["created_at_ns"]),
        "updated_at": timestamp_text(row["updated_at_ns"]),
    }
