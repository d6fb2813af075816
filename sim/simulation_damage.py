"""A write that went to the wrong place: part of a record on a disk is what belongs somewhere else.

It hits an entry of the journal while its process is down. A real one could hit LMDB's own pages, too, but then LMDB
would read wild and take the whole simulation with it (`replication.journal` says what it checks before).
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Final

import lmdb

from sim.simulation_environment import DATA_FILE
from sim.simulation_journal_view import LOG

_RECORD_BYTES_MIN: Final = 64
_HEAD_BYTES: Final = 16
_PIECE_BYTES_MAX: Final = 512


def misplace_write(journal: Path, chance: Random) -> int:
    """Overwrite a piece of one entry with what stands elsewhere in the file. Answers its log index, 0 if none is large
    enough.
    """
    with lmdb.open(str(journal), max_dbs=2, readonly=True, lock=False) as environment:
        database = environment.open_db(LOG, create=False)
        with environment.begin(db=database) as transaction:
            records = [
                (int.from_bytes(key, "big"), bytes(value))
                for key, value in transaction.cursor()
                if len(value) >= _RECORD_BYTES_MIN
            ]
    if not records:
        return 0
    index, record = chance.choice(records)
    data = bytearray((journal / DATA_FILE).read_bytes())
    start = _HEAD_BYTES + chance.randrange(len(record) - _HEAD_BYTES)
    size = min(_PIECE_BYTES_MAX, len(record) - start)
    source = chance.randrange(len(data) - size)
    piece = bytes(data[source : source + size])
    if piece == record[start : start + size]:
        piece = bytes(byte ^ 0xFF for byte in piece)
    # LMDB copies a page before it changes it: older copies hold the same record.
    found = data.find(record)
    while found >= 0:
        data[found + start : found + start + size] = piece
        found = data.find(record, found + len(record))
    (journal / DATA_FILE).write_bytes(data)
    return index
