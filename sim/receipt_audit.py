"""``tally replay --verify-receipt``: is this receipt true?

Each check says what it found; the last line is the verdict. *Refuted*: the receipt was changed or is a lie, or the
archive was changed. *Confirmed*: nothing contradicts it, and something that was given from outside of the receipt (a
public key, an archive, a head of the chain) bears it out. *Undecided*: nothing contradicts it, but what was given
cannot tell.
"""

from __future__ import annotations

import enum
import json
import re
import sys
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from engine.codec import decode_events
from engine.entry import CHAIN_SIZE
from gateway.rendering import timestamp_text
from replication.archive import ArchiveDamaged
from replication.archive_reader import ArchiveReader, FoundEntry
from replication.receipts import Receipt, archive_fault, entry_fault, statement
from replication.replay import NothingToReplay, group_directories, replica_directories
from replication.signing_key import is_signed
from sim.receipt_file import ReceiptUnreadable, read_receipt

CONFIRMED: Final = 0
REFUTED: Final = 1
UNUSABLE: Final = 2  # the command line, or a file that it names
UNDECIDED: Final = 3

_HEAD: Final = re.compile(r"(?P<sequence>[0-9]{1,19}):(?P<chain>[0-9a-f]{64})", re.ASCII)
_KEY: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Unusable(Exception):
    """What was given beside the receipt cannot be used."""


class Says(enum.Enum):
    """What one check says of the receipt."""

    NO = "refutes it"
    YES = "bears it out"
    NOTHING = "says nothing"


class Finding(NamedTuple):
    check: str
    says: Says
    text: str


class ChainHead(NamedTuple):
    """The chain value after the command ``sequence``, from somebody who is trusted."""

    sequence: int
    chain: bytes


def main(
    file: Path,
    *,
    archive: Path | None = None,
    chain_head: str | None = None,
    public_key: str | None = None,
    out: TextIO | None = None,
) -> int:
    """Check the receipt in a file and print what was found. Answers the exit code."""
    out = out or sys.stdout
    try:
        head = None if chain_head is None else read_chain_head(chain_head)
        receipt = read_receipt(file)
        key = None if public_key is None else read_public_key(public_key, receipt.node)
        findings = _check(receipt, archive, head, key)
    except ReceiptUnreadable as error:
        print(f"verdict      REFUTED: {file} is no receipt, or was changed: {error}", file=out)
        return REFUTED
    except OSError as error:
        print(f"tally replay: {error.filename}: {error.strerror}", file=sys.stderr)
        return UNUSABLE
    except (Unusable, NothingToReplay) as error:
        print(f"tally replay: {error}", file=sys.stderr)
        return UNUSABLE
    print(
        f"receipt      sequence {receipt.sequence} of group {receipt.group}, cluster {receipt.cluster_id.hex()}, "
        f"signed by {receipt.node} at {timestamp_text(receipt.signed_at_ns)}",
        file=out,
    )
    for check, _, text in findings:
        print(f"{check:<12} {text}", file=out)
    refuting = [finding for finding in findings if finding.says is Says.NO]
    if refuting:
        print(f"verdict      REFUTED: {refuting[0].check}: {refuting[0].text}", file=out)
        return REFUTED
    witnesses = dict.fromkeys(finding.check for finding in findings if finding.says is Says.YES)
    if not witnesses:
        print(
            "verdict      UNDECIDED: it does not contradict itself, but nothing from outside bears it out: "
            "give --public-key, --archive or a --chain-head of its entry",
            file=out,
        )
        return UNDECIDED
    print(f"verdict      CONFIRMED by {' and '.join(witnesses)}", file=out)
    return CONFIRMED


def _check(receipt: Receipt, archive: Path | None, head: ChainHead | None, key: bytes | None) -> list[Finding]:
    findings = [_signature(receipt, key), _entry(receipt)]
    if archive is not None:
        findings += _archives(receipt, archive)
    if head is not None:
        findings.append(_head(receipt, head))
    return findings


def read_chain_head(text: str) -> ChainHead:
    match = _HEAD.fullmatch(text)
    if match is None:
        raise Unusable(f"--chain-head: {text!r} is not SEQUENCE:CHAIN with {2 * CHAIN_SIZE} hexadecimal digits")
    return ChainHead(int(match["sequence"]), bytes.fromhex(match["chain"]))


def read_public_key(text: str, node: str) -> bytes:
    """From 64 hexadecimal digits, a file that holds them, or a file with an answer of ``GET /v1/nodes``."""
    if _KEY.fullmatch(text):
        return bytes.fromhex(text)
    content = Path(text).read_text(encoding="ascii", errors="replace").strip()
    if _KEY.fullmatch(content):
        return bytes.fromhex(content)
    try:
        keys = {str(one["node"]): str(one["public_key"]) for one in json.loads(content)["nodes"]}
    except (ValueError, KeyError, TypeError):
        keys = {}
    if _KEY.fullmatch(keys.get(node, "")) is None:
        raise Unusable(f"{text} holds neither a public key (64 hexadecimal digits) nor an answer with that of {node}")
    return bytes.fromhex(keys[node])


def _signature(receipt: Receipt, key: bytes | None) -> Finding:
    if not is_signed(receipt.public_key, receipt.signature, statement(receipt)):
        return Finding("signature", Says.NO, "not of this receipt by the key that it names")
    if key is None:
        text = f"by the key {receipt.public_key.hex()}, which the receipt itself names: is it the replica's?"
        return Finding("signature", Says.NOTHING, text)
    if key != receipt.public_key:
        return Finding("public key", Says.NO, f"signed by {receipt.public_key.hex()}, not by {key.hex()}")
    return Finding("public key", Says.YES, f"signed by {key.hex()}")


def _entry(receipt: Receipt) -> Finding:
    offset = receipt.sequence - receipt.first_sequence
    if not 0 <= offset < receipt.command_count:
        return Finding("entry", Says.NO, "it does not hold the sequence of the receipt")
    if any(found != offset for found, _ in decode_events(receipt.outcome)):
        return Finding("entry", Says.NO, "the outcome is that of another command")
    if receipt.commands is None:
        text = (
            "its chain values are signed; its bytes are not in the receipt, so only an archive can show what it holds"
        )
        return Finding("entry", Says.NOTHING, text)
    fault = entry_fault(receipt)
    if fault:
        return Finding("entry", Says.NO, fault)
    # Whoever makes up an entry can hash it as well.
    return Finding("entry", Says.NOTHING, "chain before and entry hash to chain after, and the command is in the entry")


def _archives(receipt: Receipt, directory: Path) -> list[Finding]:
    """Every archive of the receipt's group that has this part of the history must have it like the receipt."""
    findings = []
    # The folder itself has the archives of the default group, whatever that is called, or of the only group.
    of_group = next((found for found in group_directories(directory)[1:] if found.name == receipt.group), directory)
    for replica in replica_directories(of_group):
        where = f"archive of {replica.name}" if replica.name else "archive"
        try:
            found = _find(ArchiveReader(replica / "archive"), receipt.sequence)
        except ArchiveDamaged as damage:
            findings.append(Finding("archive", Says.NO, f"{where}: {damage}"))
            continue
        if found.is_too_large:
            findings.append(Finding("archive", Says.NO, f"{where}: the entry there is larger than a receipt's may be"))
        elif found.entry is None:
            findings.append(Finding("archive", Says.NOTHING, f"{where}: it does not have sequence {receipt.sequence}"))
        elif fault := archive_fault(receipt, found.entry, found.chain_before):
            findings.append(Finding("archive", Says.NO, f"{where}: {fault}"))
        else:
            findings.append(Finding("archive", Says.YES, f"{where}: the same command and outcome in the same entry"))
    return findings


def _find(reader: ArchiveReader, sequence: int) -> FoundEntry:
    while (found := reader.find_entry(sequence)) is None:
        pass  # each time it gets nearer
    return found


def _head(receipt: Receipt, head: ChainHead) -> Finding:
    """A head that is older or newer than the entry cannot be compared without the entries between."""
    if head.sequence == receipt.last_sequence:
        if head.chain != receipt.chain_after:
            return Finding("chain head", Says.NO, f"the history that ends at {head.sequence} is another one")
        text = f"the history that ends at {head.sequence} ends with this entry"
        if receipt.commands is None:
            # Anybody can write another command beside a chain value that is known.
            return Finding("chain head", Says.NOTHING, text + ", but not that the command is in it")
        return Finding("chain head", Says.YES, text)
    if head.sequence == receipt.first_sequence - 1:
        if head.chain != receipt.chain_before:
            return Finding("chain head", Says.NO, f"the history that ends at {head.sequence} is another one")
        text = f"the entry claims to follow the history that ends at {head.sequence}, but it may not have happened"
        return Finding("chain head", Says.NOTHING, text)
    if receipt.first_sequence <= head.sequence < receipt.last_sequence:
        return Finding("chain head", Says.NO, f"no entry ends at {head.sequence}, which is in the middle of this one")
    text = f"it is of {head.sequence}, the entry ends at {receipt.last_sequence}: what lies between is in the archive"
    return Finding("chain head", Says.NOTHING, text)
