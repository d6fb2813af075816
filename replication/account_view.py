"""What an account may see of what its own command did.

A command of one account changes orders of others: it trades with them. Their records are theirs. What an account is
shown are the records about itself and about markets, assets and sales, which are public; of a trade, its own side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.codec import EVENT_HEADER, CodecError, decode_events, encode_event
from engine.events import Event, TradeExecuted, TransferChanged

_NOBODY: Final = 0  # the exchange's own account, which does not trade


def events_of_command(events: bytes, command_offset: int) -> bytes:
    """The records of an entry that belong to one of its commands, as they are."""
    return b"".join([record for offset, record in split_events(events) if offset == command_offset])


def seen_by(account_id: int, events: bytes) -> bytes:
    """The records that an account is shown of these, in their order and with their offsets."""
    shown = []
    for offset, record in split_events(events):
        ((_, event),) = decode_events(record)
        seen = _seen(account_id, event)
        if seen is not None:
            shown.append(encode_event(seen, offset))
    return b"".join(shown)


def split_events(events: bytes) -> Iterator[tuple[int, bytes]]:
    """The offset of each record's command, and the record. CodecError if the bytes are not whole records."""
    position = 0
    while position < len(events):
        if len(events) - position < EVENT_HEADER.size:
            raise CodecError("an event record is cut short")
        _, length, offset = EVENT_HEADER.unpack_from(events, position)
        if not EVENT_HEADER.size <= length <= len(events) - position:
            raise CodecError("the length of an event record is wrong")
        yield offset, events[position : position + length]
        position += length


def _seen(account_id: int, event: Event) -> Event | None:
    if isinstance(event, TradeExecuted):
        return _own_side(account_id, event)
    if isinstance(event, TransferChanged):
        return event if account_id in (event.from_account_id, event.to_account_id) else None
    return event if getattr(event, "account_id", account_id) == account_id else None


def _own_side(account_id: int, trade: TradeExecuted) -> TradeExecuted | None:
    if account_id == trade.taker_account_id and account_id != trade.maker_account_id:
        return trade._replace(maker_order_id=0, maker_account_id=_NOBODY, maker_fee_units=0, maker_open_lots=0)
    if account_id == trade.maker_account_id and account_id != trade.taker_account_id:
        return trade._replace(taker_order_id=0, taker_account_id=_NOBODY, taker_fee_units=0, taker_open_lots=0)
    return trade if account_id == trade.maker_account_id else None
