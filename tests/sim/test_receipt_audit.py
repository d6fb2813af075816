"""Receipts as files: confirmed, refuted or undecided, and no bit of one may be another."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tally
from engine.entry import chain_after
from gateway.receipts import receipt_body
from replication.archive import list_segments
from replication.receipts import Receipt, statement
from replication.signing_key import SigningKey
from sim.receipt_audit import CONFIRMED, REFUTED, UNDECIDED, UNUSABLE, main
from sim.receipt_file import ReceiptUnreadable, parse_receipt
from tests.replication import recorded_receipts
from tests.replication.recorded_receipts import CLUSTER_ID, KEYS, desk, replica

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden_receipt.json"
DOCUMENT = ROOT / "docs" / "receipts.md"
SEQUENCE = 9  # ana's order, which trades with bo's in the same entry


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like that of ``tally up``, with the archives of two replicas."""
    directory = tmp_path_factory.mktemp("exchange") / "tally-data"
    recorded_receipts.exchange(directory)
    return directory


@pytest.fixture(scope="module")
def receipts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Receipt]:
    executed = replica(tmp_path_factory.mktemp("replica"))
    return lambda for_operator: recorded_receipts.receipt(desk(executed), SEQUENCE, for_operator=for_operator)


@pytest.fixture(params=[False, True], ids=["account", "operator"])
def receipt(request: pytest.FixtureRequest, receipts: Callable[[bool], Receipt]) -> Receipt:
    return receipts(request.param)


def text(receipt: Receipt) -> str:
    """The file that `tally call GET /v1/receipts/9 > receipt.json` writes."""
    return json.dumps(receipt_body(receipt._asdict()), indent=2, ensure_ascii=False) + "\n"


def signed(receipt: Receipt, key: SigningKey = KEYS["node-1"]) -> Receipt:
    """As a replica would sign it that lies."""
    named = receipt._replace(public_key=key.public_key)
    return named._replace(signature=key.sign(statement(named)))


class Checked:
    """A receipt written to a file and checked."""

    def __init__(self, directory: Path, receipt: Receipt, **options: Any) -> None:
        out = io.StringIO()
        file = directory / "receipt.json"
        file.write_text(text(receipt))
        self.code = main(file, out=out, **options)
        self.said = out.getvalue()

    @property
    def verdict(self) -> str:
        return self.said.splitlines()[-1].removeprefix("verdict").strip()


def key_of(node: str) -> str:
    return KEYS[node].public_key.hex()


# What can be said of a true one


def test_without_anything_from_outside_nothing_is_decided(receipt: Receipt, tmp_path: Path) -> None:
    checked = Checked(tmp_path, receipt)
    assert (checked.code, checked.verdict.split(":")[0]) == (UNDECIDED, "UNDECIDED")


def test_the_replicas_key_confirms_it(receipt: Receipt, tmp_path: Path) -> None:
    checked = Checked(tmp_path, receipt, public_key=key_of("node-1"))
    assert (checked.code, checked.verdict) == (CONFIRMED, "CONFIRMED by public key")
    assert ("hash to chain after" in checked.said) == (receipt.commands is not None)


def test_every_archive_of_a_folder_confirms_it(receipt: Receipt, exchange: Path, tmp_path: Path) -> None:
    checked = Checked(tmp_path, receipt, archive=exchange)
    assert (checked.code, checked.verdict) == (CONFIRMED, "CONFIRMED by archive")
    one = Checked(tmp_path, receipt, archive=exchange / "data" / "node-2", public_key=key_of("node-1"))
    assert (one.code, one.verdict) == (CONFIRMED, "CONFIRMED by public key and archive")


def test_a_head_of_the_chain_says_what_it_can(receipt: Receipt, tmp_path: Path) -> None:
    last, before = receipt.last_sequence, receipt.first_sequence - 1
    ends = UNDECIDED if receipt.commands is None else CONFIRMED
    for head, code, words in (
        (f"{last}:{receipt.chain_after.hex()}", ends, "ends with this entry"),
        (f"{last}:{'0' * 64}", REFUTED, "another one"),
        (f"{before}:{receipt.chain_before.hex()}", UNDECIDED, "may not have happened"),
        (f"{before}:{'0' * 64}", REFUTED, "another one"),
        (f"{last - 1}:{receipt.chain_after.hex()}", REFUTED, "in the middle"),
        (f"{last + 4}:{'0' * 64}", UNDECIDED, "in the archive"),
        (f"{before - 1}:{'0' * 64}", UNDECIDED, "in the archive"),
    ):
        checked = Checked(tmp_path, receipt, chain_head=head)
        assert checked.code == code, head
        assert words in checked.said, head


# Lies


def test_a_flipped_bit_anywhere_in_the_file_is_found(receipts: Callable[[bool], Receipt], tmp_path: Path) -> None:
    """Without looking at any archive or key: the receipt is enough. Every bit of the file of an account."""
    data = text(receipts(False)).encode()
    true = parse_receipt(data)
    assert statement(true) == statement(receipts(False))
    survived = []
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        if is_believed(bytes(flipped)):
            survived.append((bit, bytes(flipped[bit // 8 - 20 : bit // 8 + 20])))
    assert survived == []


def test_a_flipped_bit_in_the_entry_of_an_operators_receipt_is_found(receipts: Callable[[bool], Receipt]) -> None:
    data = text(receipts(True)).encode()
    start = data.index(b'"command_bytes"')
    for byte in range(start, data.index(b'"public_key"')):
        for bit in (0, 5):  # the second one makes a letter upper case
            flipped = bytearray(data)
            flipped[byte] ^= 1 << bit
            assert not is_believed(bytes(flipped)), (byte, bit)


def is_believed(data: bytes) -> bool:
    from sim.receipt_audit import Says, _check

    try:
        receipt = parse_receipt(data)
    except ReceiptUnreadable:
        return False
    return not any(finding.says is Says.NO for finding in _check(receipt, None, None, None))


def test_the_word_of_another_key_is_not_taken(receipt: Receipt, tmp_path: Path) -> None:
    forged = signed(receipt, SigningKey(bytes(32)))
    checked = Checked(tmp_path, forged, public_key=key_of("node-1"))
    assert (checked.code, checked.verdict.split(",")[0]) == (
        REFUTED,
        f"REFUTED: public key: signed by {forged.public_key.hex()}",
    )
    assert Checked(tmp_path, receipt._replace(signature=forged.signature)).code == REFUTED


def test_a_replica_that_lies_is_refuted_by_the_archive(receipt: Receipt, exchange: Path, tmp_path: Path) -> None:
    """Each of these is signed by the true key."""
    lies = {
        "another order": receipt._replace(command=receipt.command[:-2] + b"b9"),
        "no trade": receipt._replace(outcome=receipt.outcome[:68]),
        "another history": receipt._replace(chain_after=bytes(32)),
        "another time": receipt._replace(timestamp_ns=receipt.timestamp_ns + 1),
        "another entry": receipt._replace(first_sequence=receipt.first_sequence + 1),
    }
    for name, lie in lies.items():
        checked = Checked(tmp_path, signed(lie), archive=exchange, public_key=key_of("node-1"))
        assert (checked.code, checked.verdict.split(":")[0]) == (REFUTED, "REFUTED"), name


def test_an_entry_that_is_not_what_was_hashed_is_refuted_at_once(
    receipts: Callable[[bool], Receipt], tmp_path: Path
) -> None:
    receipt = receipts(True)
    assert receipt.commands is not None
    forged = signed(receipt._replace(commands=receipt.commands.replace(b"b1", b"b9")))
    assert "do not hash" in Checked(tmp_path, forged).verdict
    moved = signed(receipt._replace(sequence=SEQUENCE + 1, command=receipts(False).command))
    assert Checked(tmp_path, moved).code == REFUTED


def test_a_made_up_entry_that_hashes_well_is_still_made_up(
    receipts: Callable[[bool], Receipt], exchange: Path, tmp_path: Path
) -> None:
    receipt = receipts(True)
    assert receipt.commands is not None
    assert receipt.events is not None
    commands = receipt.commands.replace(b"b1", b"b9")
    chain = chain_after(
        receipt.chain_before,
        receipt.first_sequence,
        receipt.timestamp_ns,
        receipt.command_count,
        commands,
        receipt.events,
    )
    command = receipt.command.replace(b"b1", b"b9")
    forged = signed(receipt._replace(commands=commands, command=command, chain_after=chain), SigningKey(bytes(32)))
    assert Checked(tmp_path, forged).code == UNDECIDED
    assert Checked(tmp_path, forged, archive=exchange).code == REFUTED
    assert Checked(tmp_path, forged, public_key=key_of("node-1")).code == REFUTED


def test_an_archive_that_was_changed_does_not_confirm(receipt: Receipt, exchange: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(exchange, copy)
    (segment,) = list_segments(copy / "data" / "node-2" / "archive")
    data = bytearray(segment.path.read_bytes())
    data[data.index(b"b1")] ^= 1
    segment.path.write_bytes(data)
    checked = Checked(tmp_path, receipt, archive=copy)
    assert checked.code == REFUTED
    assert "archive of node-2: the archive is damaged" in checked.verdict


def test_an_archive_without_that_part_decides_nothing(receipt: Receipt, exchange: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(exchange / "data" / "node-1", copy)
    (segment,) = list_segments(copy / "archive")
    segment.path.write_bytes(segment.path.read_bytes()[:700])
    checked = Checked(tmp_path, receipt, archive=copy)
    assert (checked.code, checked.verdict.split(":")[0]) == (UNDECIDED, "UNDECIDED")


def test_a_known_head_does_not_confirm_a_made_up_command(receipts: Callable[[bool], Receipt], tmp_path: Path) -> None:
    receipt = receipts(False)
    forged = signed(receipt._replace(command=receipt.command.replace(b"b1", b"b9")), SigningKey(bytes(32)))
    head = f"{receipt.last_sequence}:{receipt.chain_after.hex()}"
    assert Checked(tmp_path, forged, chain_head=head).code == UNDECIDED


# Files


def test_the_golden_receipt_is_for_ever(receipts: Callable[[bool], Receipt]) -> None:
    """It never changes: whoever keeps a receipt can have it checked by any later version."""
    golden = GOLDEN.read_text()
    assert text(receipts(True)) == golden
    assert parse_receipt(golden.encode()) == receipts(True)
    assert is_believed(golden.encode())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not the JSON"),
        (b"[]", "must be a JSON object"),
        (b'{"receipt": 2}', "version 2"),
        (b'{"receipt": 1.0}', "no number"),
        (b'{"receipt": 1, "receipt": 1}', "twice"),
        (b'{"receipt": true}', "whole number"),
        (b"[" * 100_000, "not the JSON"),
        (b"\xff", "not the JSON"),
    ],
)
def test_what_is_no_receipt_is_refuted_with_a_reason(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "receipt.json").write_bytes(content)
    out = io.StringIO()
    assert main(tmp_path / "receipt.json", out=out) == REFUTED
    assert complaint in out.getvalue()


def test_a_field_more_or_less_is_refuted(receipts: Callable[[bool], Receipt]) -> None:
    document = json.loads(text(receipts(False)))
    for broken in (
        document | {"note": "true"},
        {name: value for name, value in document.items() if name != "node"},
        document | {"outcome": document["outcome"] | {"decoded": []}},
        document | {"command": document["command"] | {"decoded": {"type": "PlaceOrder"}}},
        document | {"entry": document["entry"] | {"command_bytes": "00"}},
    ):
        with pytest.raises(ReceiptUnreadable):
            parse_receipt(json.dumps(broken).encode())


def test_a_key_is_taken_from_digits_from_a_file_and_from_the_answer_about_nodes(
    receipt: Receipt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits, nodes, wrong = tmp_path / "node-1.pub", tmp_path / "nodes.json", tmp_path / "other.json"
    digits.write_text(key_of("node-1") + "\n")
    nodes.write_text(json.dumps(nodes_body()))
    wrong.write_text(json.dumps({"nodes": [{"node": "node-2", "public_key": key_of("node-2")}]}))
    for key in (key_of("node-1"), str(digits), str(nodes)):
        assert Checked(tmp_path, receipt, public_key=key).code == CONFIRMED
    assert Checked(tmp_path, receipt, public_key=key_of("node-2")).code == REFUTED
    for unusable in (str(wrong), str(tmp_path / "none"), str(tmp_path / "receipt.json")):
        assert Checked(tmp_path, receipt, public_key=unusable).code == UNUSABLE
    assert "that of node-1" in capsys.readouterr().err


def test_what_cannot_be_used_is_said_and_is_no_verdict(
    receipt: Receipt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, complaint in (
        ({"chain_head": "17"}, "SEQUENCE:CHAIN"),
        ({"chain_head": "17:" + "G" * 64}, "SEQUENCE:CHAIN"),
        ({"archive": tmp_path}, "holds no archive"),
    ):
        assert Checked(tmp_path, receipt, **options).code == UNUSABLE
        assert complaint in capsys.readouterr().err
    assert main(tmp_path / "none.json") == UNUSABLE
    assert tally.main(["replay", "--chain-head", "1:00"]) == UNUSABLE
    assert "--verify-receipt" in capsys.readouterr().err


def nodes_body() -> dict[str, Any]:
    """What ``GET /v1/nodes`` answers."""
    nodes = [{"node": node, "reachable": True, "public_key": key_of(node)} for node in KEYS]
    return {"sequence": None, "cluster_id": CLUSTER_ID.hex(), "nodes": nodes}


def test_the_document_shows_what_happens(
    receipts: Callable[[bool], Receipt],
    exchange: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its receipt is the recorded one, and each `tally replay` prints what stands below it. REWRITE=1 writes it."""
    monkeypatch.chdir(tmp_path)
    Path("receipt.json").write_text(text(receipts(False)))
    Path("operators-receipt.json").write_text(text(receipts(True)))
    Path("nodes.json").write_text(json.dumps(nodes_body()))
    shutil.copytree(exchange, "tally-data")
    blocks = DOCUMENT.read_text().split("```")
    tried = 0
    for number, block in enumerate(blocks):
        if block.startswith("json\n"):
            blocks[number] = "json\n" + text(receipts(False))
        elif block.startswith("\n$ tally replay "):
            command = block.splitlines()[1].removeprefix("$ ")
            code = tally.main(shlex.split(command)[1:])
            printed = capsys.readouterr().out
            blocks[number] = f"\n$ {command}\n{printed}$ echo $?\n{code}\n"
            tried += 1
    assert tried >= 4
    if os.environ.get("REWRITE"):
        DOCUMENT.write_text("```".join(blocks))
    assert DOCUMENT.read_text() == "```".join(blocks)
