"""Money that goes to another group and comes from one, in the tables of both."""

from __future__ import annotations

from engine import rejects
from engine.codec import encode_command, pack_route
from engine.commands import (
    Command,
    CreateAccount,
    CreateAsset,
    Deposit,
    FreezeAccount,
    MirrorAccount,
    NameGroup,
    ReceiveTransfer,
    SendTransfer,
    SettleTransfer,
)
from engine.machine import Machine
from engine.types import PENDING, POSTED, TRADER, VOIDED, TransferRoute
from projections.group_fold import GroupFold, beginning
from projections.kinds import NOBODY, RECEIVED_FROM_GROUP, SENT_TO_GROUP
from projections.rows import TransferRow
from tests.projections.fold_harness import Tables, new_tables, write
from tests.projections.test_group_fold import compare

ROUTE = pack_route(TransferRoute(b"main", b"metals", b"ana", b"EUR"))


class Group:
    """A market group with one account and one asset, and its tables."""

    def __init__(self, name: bytes) -> None:
        self.machine = Machine()
        self.fold = GroupFold(beginning(1, name.decode()))
        self.tables: Tables = new_tables()
        self.ask(NameGroup(0, 0, name))
        self.ask(CreateAsset(0, 0, 2, b"EUR"))

    def ask(self, command: Command) -> int:
        """Execute a command and fold its entry. Answers its sequence."""
        self.fold.apply(self.machine.apply(0, encode_command(command)).entry)
        write(self.tables, self.fold.take())
        ledger = {row[:2]: row[2:] for row in self.machine.ledger.rows()}
        balances = {key[1:]: row[3:5] for key, row in self.tables["balances"].items() if any(row[3:5])}
        assert balances == ledger
        return self.machine.sequence

    def transfer(self, number: int) -> TransferRow:
        row: TransferRow = self.tables["transfers"][1, number]
        return row


def a_source() -> Group:
    source = Group(b"main")
    source.ask(CreateAccount(0, 0, TRADER, b"ana"))
    source.ask(Deposit(0, 0, 1, 1, 100, 0, b"d1"))
    return source


def received(number: int, units: int) -> ReceiveTransfer:
    return ReceiveTransfer(0, 0, number, units, 2, ROUTE, b"t1")


def test_a_transfer_that_arrives_is_posted_in_both_groups() -> None:
    source, target = a_source(), Group(b"metals")
    target.ask(MirrorAccount(0, 0, 3, TRADER, 0, 0, 0, 0, 0, b"ana"))
    number = source.ask(SendTransfer(1, 0, 1, 40, 0, b"metals", b"t1"))
    sent = source.transfer(number)
    assert (sent.kind, sent.status, sent.amount_units, sent.other_group) == (SENT_TO_GROUP, PENDING, 4_000, "metals")
    arrived = target.ask(received(number, 4_000))
    assert target.ask(received(number, 4_000)) == arrived + 1  # the relay repeats itself
    row = target.transfer(arrived)
    assert (row.kind, row.status, row.other_group, row.other_transfer_id) == (
        RECEIVED_FROM_GROUP,
        POSTED,
        "main",
        number,
    )
    assert (1, arrived + 1) not in target.tables["transfers"]
    source.ask(SettleTransfer(0, 0, number, rejects.ACCEPTED))
    source.ask(SettleTransfer(0, 0, number, rejects.ACCEPTED))
    assert source.transfer(number).status == POSTED
    assert source.tables["balances"][1, 1, 1].available_units == 6_000
    assert target.tables["balances"][1, 1, 1].available_units == 4_000


def test_a_transfer_that_is_refused_comes_back() -> None:
    source, target = a_source(), Group(b"metals")
    number = source.ask(SendTransfer(1, 0, 1, 40, 0, b"metals", b"t1"))
    arrived = target.ask(received(number, 4_000))  # nobody is called ana there
    row = target.transfer(arrived)
    assert (row.status, row.refusal, row.account_id) == (VOIDED, rejects.UNKNOWN_ACCOUNT, NOBODY)
    source.ask(SettleTransfer(0, 0, number, rejects.UNKNOWN_ACCOUNT))
    assert (source.transfer(number).status, source.transfer(number).refusal) == (VOIDED, rejects.UNKNOWN_ACCOUNT)
    assert source.tables["balances"][1, 1, 1].available_units == 10_000
    assert target.tables["balances"] == {}


def test_an_account_is_mirrored_and_frozen() -> None:
    target = Group(b"metals")
    target.ask(MirrorAccount(0, 0, 3, TRADER, 0, 0, 0, 0, 0, b"ana"))
    target.ask(MirrorAccount(0, 0, 4, TRADER, 1, 0, 0, 0, 0, b"ana"))
    assert (target.tables["accounts"][1, 1].name, target.tables["accounts"][1, 1].frozen) == ("ana", 1)
    target.ask(FreezeAccount(0, 0, 1, 0))
    assert target.tables["accounts"][1, 1].frozen == 0
    assert target.tables["accounts"][1, 0].name == "exchange"
    compare(target.machine, target.tables)
