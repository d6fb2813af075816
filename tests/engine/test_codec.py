"""The bytes of every record, which are for ever, and what is refused as not being one.

golden_records.txt is never rewritten by a test: a new kind adds lines, an old line never changes.
"""

from __future__ import annotations

from pathlib import Path
from struct import pack

import pytest

from engine import commands, events
from engine.amounts import ABSENT
from engine.codec import (
    COMMAND_HEADER,
    COMMAND_LAYOUTS,
    EVENT_HEADER,
    EVENT_LAYOUTS,
    RECORD_LENGTH_MAX,
    TRADES_ONLY,
    CodecError,
    decode_command,
    decode_commands,
    decode_events,
    encode_command,
    encode_event,
    event_kinds,
    pack_route,
    pack_schedule,
    pack_tiers,
    unpack_route,
    unpack_schedule,
    unpack_tiers,
)
from engine.commands import Command
from engine.events import Event
from engine.types import SECOND_LEG, FeeTier, ScheduleStep, TransferRoute

NOW_NS = 1_750_075_200_123_456_789
EVENT_OFFSET = 3  # the command of its entry that every example event belongs to
COMMANDS: tuple[Command, ...] = (
    commands.CreateAsset(0, NOW_NS, 5, b"EUR"),
    commands.CreateMarket(0, NOW_NS, 1, 2, 1, 3, 500, 2, -200, 2_500, b"GLD", b"EUR"),
    commands.CreateAccount(0, NOW_NS, 1, b"operator-2"),
    commands.CreateApiKey(0, NOW_NS, 7, b"key-1", bytes(range(250, 256))),
    commands.Deposit(0, NOW_NS, 7, 2, 10_025, 2, b"dep-7"),
    commands.PlaceOrder(7, NOW_NS, 1, 1, 0, 2, 0, 1, 10_005, 3, -25, 1, b"c1"),
    commands.PlaceOrder(
        (1 << 64) - 1, -1, 4_294_967_295, 255, 254, 253, 252, 251, 1 << 62, 18, -(1 << 63), 255, b"x" * 255
    ),
    commands.CancelOrder(7, NOW_NS, 41, b"", b"x1"),
    commands.AmendOrder(7, NOW_NS, 0, *ABSENT, 25, 1, b"c1", b"x2"),
    commands.CancelAll(7, NOW_NS, 1, b"x3"),
    commands.PlaceSpecialOrder(
        7, NOW_NS, 1, 1, 0, 3, 0, 2, 1, 945, 2, 25, 1, 95, 1, *ABSENT, *ABSENT, NOW_NS + 5_000_000_000, b"c2"
    ),
    commands.PlaceOco(7, NOW_NS, 1, 1, 3, 2, 0, 11, 0, 95, 1, *ABSENT, b"c4", b"c3"),
    commands.MassCancel(0, NOW_NS, 7, 1, 2, b"x4"),
    commands.CancelAllAfter(7, NOW_NS, 60_000, b"x5"),
    commands.ResolveRequest(7, NOW_NS, b"c5"),
    commands.RequestWithdrawal(7, NOW_NS, 2, 20, 0, b"DE89 3704", b"w-1"),
    commands.CancelWithdrawal(7, NOW_NS, 41, b"x6"),
    commands.DecideWithdrawal(0, NOW_NS, 41, 2),
    commands.CreateTransfer(7, NOW_NS, 8, 2, 1_999, 2, 1, 3_600, b"t-1"),
    commands.DecideTransfer(8, NOW_NS, 42, 1, b"x7"),
    commands.ListMarket(
        0,
        NOW_NS,
        *(1, 2, 1, 3, 500, 2, -200, 2_500),
        *(1, 1_000, 2, 100_000, 1, 60_000, 5_000, 3_000, 1, 5_000, 100),
        b"GLD",
        b"EUR",
    ),
    commands.SetMarketRules(0, NOW_NS, 1, 50_000, 1, 60_000, 5_000, 3_000, 1, 5_000, 100),
    commands.SetMarketState(0, NOW_NS, 1, 5),
    commands.SetMarketSchedule(0, NOW_NS, 1, pack_schedule([ScheduleStep(32_400, 2), ScheduleStep(63_000, 6)])),
    commands.DelistMarket(0, NOW_NS, 1),
    commands.SetFeeTiers(0, NOW_NS, 1, pack_tiers([FeeTier(100_000_00000, 900, 2_000), FeeTier(1 << 62, -500, 500)])),
    commands.SetAccountLimits(0, NOW_NS, 7, 200, 20, 300, 60_000),
    commands.FreezeAccount(0, NOW_NS, 7, 1),
    commands.Tick(0, NOW_NS),
    commands.CreateSale(
        0, NOW_NS, 7, 1, 2, 1, 2, 15, 1, 1, 0, 1_000, 0, 500, 0, 400, 0, NOW_NS + 1, NOW_NS + 2, b"gld-sale"
    ),
    commands.DecideSale(0, NOW_NS, 1, 1),
    commands.SubscribeSale(8, NOW_NS, 1, 600, 0, *ABSENT, b"s-1"),
    commands.SetMarketRate(0, NOW_NS, 1, 5_000, 1_000),
    commands.NameGroup(0, NOW_NS, b"metals"),
    commands.MirrorAccount(0, NOW_NS, 99, 0, 1, 200, 20, 300, 60_000, b"ana"),
    commands.SendTransfer(7, NOW_NS, 2, 1_999, 2, b"metals", b"g-1"),
    commands.ReceiveTransfer(
        0, NOW_NS, 44, 19_99000, 5, pack_route(TransferRoute(b"main", b"metals", b"ana", b"EUR")), b"g-1"
    ),
    commands.SettleTransfer(0, NOW_NS, 44, 7),
    commands.SetRulesVersion(0, NOW_NS, 2, b"operator-1"),
)
EVENTS: tuple[Event, ...] = (
    events.CommandRejected(23, 0),
    events.RequestRepeated(41, 12),
    events.AssetCreated(2, 5, b"EUR"),
    events.MarketCreated(1, 1, 2, 1_000, 1, 1, 500_000, -200, 2_500, b"GLD-EUR"),
    events.AccountCreated(7, 0, b"ana"),
    events.ApiKeyCreated(7, b"key-1"),
    events.FundsDeposited(7, 2, 10_025_000, 20_025_000, b"dep-7"),
    events.OrderAccepted(41, 7, 1, 1, 2, 1, 0, 2, 1_000, 2_500, 9_999_999, 2_506_250, b"c1"),
    events.TradeExecuted(9, 1, 1, 1_000, 400, 400_000, 41, 42, 7, 8, -80, 1_000, 2_100, 0),
    events.OrderClosed(41, 7, 1, 2, 5, 2_500, 400, 2_000, 100, 12_345),
    events.OrderAmended(41, 7, 1, 1, 1_015, 2_600, 2_200, 2_238_583),
    events.OrderReported(
        41, 7, 1, 0, 1, 2, 1, 2, 0, 3, 1_000, 2_500, 77, 1_900, 400, 150, 50, 400_000, -80, 123, NOW_NS, b"c1"
    ),
    events.OrdersCancelled(7, 1, 2),
    events.OrderConditions(41, 7, 1, 3, 300, 200, 950, 50, 50_000, NOW_NS, 41 + SECOND_LEG),
    events.OrderTriggered(41, 7, 1, 949),
    events.OrderReplenished(41, 7, 1, 300),
    events.SelfTradePrevented(1, 7, 41, 42, 300, 0, 200),
    events.MarketStateChanged(1, 1, 2, NOW_NS),
    events.IndicativePriceChanged(1, 1_005, 50, -15),
    events.AuctionUncrossed(1, 1_005, 50, -15),
    events.MarketRulesSet(1, 50_000, 1, 60_000, 5_000, 3_000, 1, 5_000, 100),
    events.MarketScheduleSet(1, pack_schedule([ScheduleStep(86_399, 6)])),
    events.FeeTiersSet(1, pack_tiers([FeeTier(5, -1, 2)])),
    events.AccountLimitsSet(7, 200, 20, 300, 60_000),
    events.AccountFrozen(7, 1),
    events.DeadManArmed(7, NOW_NS),
    events.DeadManFired(7, 2),
    events.RequestFenced(7, b"c5"),
    events.WithdrawalChanged(41, 7, 2, 20_00000, 1, b"DE89 3704", b"w-1"),
    events.TransferChanged(42, 7, 8, 2, 19_99000, 3, NOW_NS, b"t-1"),
    events.TimeReached(NOW_NS),
    events.SaleChanged(
        1,
        7,
        1,
        2,
        1,
        2,
        3,
        15_000,
        1_000,
        1_000,
        50_00000,
        400,
        NOW_NS + 1,
        NOW_NS + 2,
        15_500,
        900,
        13_950_000,
        b"gld",
    ),
    events.SaleSubscribed(43, 1, 8, 15_500, 600, 9_300_000),
    events.SaleSettled(43, 1, 8, 400, 6_200_000, 3_100_000),
    events.MarketRateSet(1, 5_000, 1_000),
    events.GroupNamed(b"main"),
    events.AccountMirrored(7, 99, 0, 1, b"ana"),
    events.SentTransferChanged(44, 7, 2, 19_99000, 2, 7, b"metals", b"g-1"),
    events.TransferReceived(44, 3, 1, 19_99000, 0, b"main", b"g-1"),
    events.RulesVersionSet(2, b"operator-1"),
)
GOLDEN = Path(__file__).parent / "golden_records.txt"


def _command_ids(command: Command) -> str:
    return type(command).__name__


def _golden_text() -> str:
    lines = ["# Every kind of record: its values, then its bytes. These lines never change; new kinds are appended."]
    for record in (*COMMANDS, *EVENTS):
        data = encode_event(record, EVENT_OFFSET) if record in EVENTS else encode_command(record)  # type: ignore[arg-type]
        lines += ["", repr(record), data.hex()]
    return "\n".join(lines) + "\n"


def _golden_bytes() -> list[bytes]:
    return [bytes.fromhex(block.split("\n")[1]) for block in GOLDEN.read_text().strip().split("\n\n")[1:]]


def test_records_encode_to_the_golden_bytes() -> None:
    assert _golden_text().splitlines() == GOLDEN.read_text().splitlines()


def test_golden_bytes_decode_to_the_records() -> None:
    golden = _golden_bytes()
    assert list(decode_commands(b"".join(golden[: len(COMMANDS)]))) == list(COMMANDS)
    assert list(decode_events(b"".join(golden[len(COMMANDS) :]))) == [(EVENT_OFFSET, event) for event in EVENTS]


def test_the_golden_file_has_every_kind() -> None:
    assert {type(command) for command in COMMANDS} == {layout.record for layout in COMMAND_LAYOUTS}
    assert {type(event) for event in EVENTS} == {layout.record for layout in EVENT_LAYOUTS}


def test_kinds_are_numbered_once() -> None:
    for layouts in (COMMAND_LAYOUTS, EVENT_LAYOUTS):
        assert [layout.kind for layout in layouts] == list(range(1, len(layouts) + 1))


def test_a_placement_is_laid_out_as_documented() -> None:
    """By hand, field for field, so that the codec is not only compared with itself."""
    by_hand = pack("<Qq", 7, NOW_NS) + pack("<I", 1) + bytes((1, 0, 2, 0, 1))
    by_hand += pack("<q", 10_005) + bytes((3,)) + pack("<q", -25) + bytes((1,)) + bytes((2,)) + b"c1"
    assert encode_command(COMMANDS[5]) == pack("<HH", 6, 4 + len(by_hand)) + by_hand


def test_a_trade_is_laid_out_as_documented() -> None:
    by_hand = pack("<QIB", 9, 1, 1) + pack("<qqq", 1_000, 400, 400_000) + pack("<QQQQ", 41, 42, 7, 8)
    by_hand += pack("<qqqq", -80, 1_000, 2_100, 0)
    assert encode_event(EVENTS[8], 5) == pack("<HHI", 9, 8 + len(by_hand), 5) + by_hand


def test_a_special_order_is_laid_out_as_documented() -> None:
    by_hand = pack("<QqI", 7, NOW_NS, 1) + bytes((1, 0, 3, 0, 2, 1))
    for mantissa, scale in ((945, 2), (25, 1), (95, 1), ABSENT, ABSENT):
        by_hand += pack("<q", mantissa) + bytes((scale,))
    by_hand += pack("<q", NOW_NS + 5_000_000_000) + bytes((2,)) + b"c2"
    assert encode_command(COMMANDS[10]) == pack("<HH", 10, 4 + len(by_hand)) + by_hand


def test_a_schedule_and_tiers_are_packed_as_documented() -> None:
    """They are in snapshots and records for ever, like the records themselves."""
    steps, tiers = [ScheduleStep(0, 1), ScheduleStep(86_399, 6)], [FeeTier(1, -2, 3), FeeTier(1 << 62, -100_000, 0)]
    assert pack_schedule(steps) == bytes.fromhex("0000000001 7f51010006")
    assert pack_tiers(tiers) == pack("<qii", 1, -2, 3) + pack("<qii", 1 << 62, -100_000, 0)
    assert unpack_schedule(pack_schedule(steps)) == steps and unpack_tiers(pack_tiers(tiers)) == tiers
    assert pack_schedule([]) == b"" == pack_tiers([]) and unpack_schedule(b"") == [] == unpack_tiers(b"")


def test_a_route_is_packed_as_documented() -> None:
    route = TransferRoute(b"main", b"b", b"ana", b"")
    assert pack_route(route) == b"\x04main\x01b\x03ana\x00"
    assert unpack_route(pack_route(route)) == route


@pytest.mark.parametrize("data", [b"", b"\x04main\x01b\x03ana", b"\x04main\x01b\x03ana\x01", b"\x00" * 5])
def test_other_bytes_are_no_route(data: bytes) -> None:
    assert unpack_route(data) is None


@pytest.mark.parametrize("length", [1, 4, 6, 9, 11])
def test_half_a_step_is_no_schedule(length: int) -> None:
    assert unpack_schedule(bytes(length)) is None


@pytest.mark.parametrize("length", [1, 15, 17, 31])
def test_half_a_tier_is_no_tiers(length: int) -> None:
    assert unpack_tiers(bytes(length)) is None


@pytest.mark.parametrize("command", COMMANDS, ids=_command_ids)
def test_a_command_cut_at_any_byte_is_refused(command: Command) -> None:
    data = encode_command(command)
    for length in range(len(data)):
        with pytest.raises(CodecError):
            decode_command(data[:length])
    for length in range(1, len(data)):
        with pytest.raises(CodecError):
            list(decode_commands(data + data[:length]))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_cut_at_any_byte_is_refused(event: Event) -> None:
    data = encode_event(event, EVENT_OFFSET)
    for length in range(1, len(data)):
        with pytest.raises(CodecError):
            list(decode_events(data[:length]))


@pytest.mark.parametrize("command", COMMANDS, ids=_command_ids)
def test_a_command_with_a_wrong_length_is_refused(command: Command) -> None:
    """Padding follows, so that a length beyond the record does not simply run out of bytes."""
    data = encode_command(command)
    kind, length = COMMAND_HEADER.unpack_from(data)
    for wrong in (0, 1, 3, 4, length - 1, length + 1, length + 255, RECORD_LENGTH_MAX, RECORD_LENGTH_MAX + 1, 65_535):
        with pytest.raises(CodecError):
            decode_command(COMMAND_HEADER.pack(kind, wrong) + data[COMMAND_HEADER.size :] + bytes(70_000))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_with_a_wrong_length_is_refused(event: Event) -> None:
    data = encode_event(event, EVENT_OFFSET)
    kind, length, offset = EVENT_HEADER.unpack_from(data)
    for wrong in (0, 1, 7, 8, length - 1, length + 1, 65_535):
        with pytest.raises(CodecError):
            list(decode_events(EVENT_HEADER.pack(kind, wrong, offset) + data[EVENT_HEADER.size :] + bytes(70_000)))


@pytest.mark.parametrize("kind", [0, len(COMMAND_LAYOUTS) + 1, 255, 256, 65_535])
def test_a_command_of_an_unknown_kind_is_refused(kind: int) -> None:
    data = encode_command(COMMANDS[0])
    with pytest.raises(CodecError):
        decode_command(pack("<H", kind) + data[2:])


@pytest.mark.parametrize("kind", [0, len(EVENT_LAYOUTS) + 1, 255, 256, 65_535])
def test_an_event_of_an_unknown_kind_is_refused(kind: int) -> None:
    data = encode_event(EVENTS[0], 0)
    with pytest.raises(CodecError):
        list(decode_events(pack("<H", kind) + data[2:]))


def test_a_record_read_as_another_kind_is_refused() -> None:
    """A layout is told by its kind alone; a body that does not fit it is damage, unless it fits by length."""
    lengths = {layout.record: (layout.size, layout.texts) for layout in COMMAND_LAYOUTS}
    assert lengths[commands.CancelOrder] == lengths[commands.CreateApiKey], "two texts behind three fields"
    assert lengths[commands.CreateAsset] == lengths[commands.CreateAccount]
    # The texts of these examples happen to be as long as the fields of other kinds.
    lengths_fit = {("CreateAsset", "SetMarketState"), ("CreateAsset", "DecideSale"), ("CancelOrder", "DecideTransfer")}
    lengths_fit |= {("PlaceOrder", "SetMarketRules"), ("CreateTransfer", "SetMarketRules")}
    lengths_fit |= {("SetFeeTiers", "CreateMarket"), ("CreateAccount", "SetMarketRate")}
    lengths_fit |= {("CancelOrder", "SetMarketRate"), ("DecideTransfer", "SetMarketRate")}
    lengths_fit |= {("MirrorAccount", "SetMarketRules"), ("SendTransfer", "SetAccountLimits")}
    lengths_fit |= {("SettleTransfer", "DecideTransfer")}
    for command in COMMANDS:
        data = encode_command(command)
        for layout in COMMAND_LAYOUTS:
            names = (type(command).__name__, layout.record.__name__)
            if lengths[type(command)] == lengths[layout.record] or names in lengths_fit:
                continue
            with pytest.raises(CodecError):
                decode_command(pack("<H", layout.kind) + data[2:])


@pytest.mark.parametrize(("length", "fits"), [(0, True), (1, True), (255, True), (256, False), (70_000, False)])
def test_a_text_of_more_than_255_bytes_does_not_encode(length: int, fits: bool) -> None:
    command = commands.CancelAll(7, NOW_NS, 1, b"x" * length)
    if fits:
        assert decode_command(encode_command(command)) == (command, 25 + length)
    else:
        with pytest.raises(CodecError):
            encode_command(command)


@pytest.mark.parametrize(
    "command",
    [
        commands.CancelAll(-1, NOW_NS, 1, b"x"),
        commands.CancelAll(1 << 64, NOW_NS, 1, b"x"),
        commands.CancelAll(7, 1 << 63, 1, b"x"),
        commands.CancelAll(7, NOW_NS, 1 << 32, b"x"),
        commands.CreateAsset(0, NOW_NS, 256, b"EUR"),
        commands.CreateMarket(0, NOW_NS, 1, 2, 1, 3, 0, 0, 1 << 31, 0, b"GLD", b"EUR"),
        commands.Deposit(0, NOW_NS, 7, 2, 1 << 63, 0, b"d"),
    ],
    ids=repr,
)
def test_a_value_beyond_its_field_does_not_encode(command: Command) -> None:
    with pytest.raises(CodecError):
        encode_command(command)


def test_a_text_whose_length_points_beyond_the_record_is_refused() -> None:
    data = bytearray(encode_command(COMMANDS[0]))
    for wrong in (0, 2, 4, 255):
        data[-4] = wrong
        with pytest.raises(CodecError):
            decode_command(bytes(data))


def test_commands_are_read_one_behind_the_other() -> None:
    data = b"".join(encode_command(command) for command in COMMANDS)
    assert list(decode_commands(b"")) == []
    position = 0
    for command in COMMANDS:
        found, position = decode_command(data, position)
        assert found == command
    assert position == len(data)


def test_events_of_some_kinds_are_read_past_all_others() -> None:
    """The others are skipped by their length, but a record that is too short for its kind is damage all the same."""
    data = b"".join(encode_event(event, offset) for offset, event in enumerate(EVENTS))
    trades = [(offset, event) for offset, event in enumerate(EVENTS) if isinstance(event, events.TradeExecuted)]
    assert trades and list(decode_events(data, TRADES_ONLY)) == trades
    assert list(decode_events(data, event_kinds())) == []
    with pytest.raises(CodecError):
        list(decode_events(EVENT_HEADER.pack(1, EVENT_HEADER.size, 0) + data, TRADES_ONLY))
