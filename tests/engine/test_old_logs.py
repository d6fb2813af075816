"""An old log replays to its old result for ever, whatever the engine has learnt since.

``log-of-version-0.1.bin.xz`` holds the commands of a random stream as the first build executed it, each as ``i64
timestamp_ns, u32 length`` and its record. The chain covers every event of it, byte for byte.
"""

import lzma
from pathlib import Path
from struct import Struct

from engine.invariants import assert_sound
from engine.machine import Machine

LOG = Path(__file__).parent / "log-of-version-0.1.bin.xz"
CHAIN = "ac06b4e72d60e899bc8d2eee41babeed1c4ae230f8ba6725462f40a37386364f"
COMMANDS, TRADES = 1_930, 369
_HEADER = Struct("<qI")


def test_the_log_of_the_first_build_gives_the_same_events() -> None:
    log, machine, position = lzma.decompress(LOG.read_bytes()), Machine(), 0
    while position < len(log):
        timestamp_ns, length = _HEADER.unpack_from(log, position)
        position += _HEADER.size
        machine.apply(timestamp_ns, log[position : position + length])
        position += length
    assert (machine.sequence, machine.trading.index.last_trade_id) == (COMMANDS, TRADES)
    assert machine.chain.hex() == CHAIN
    assert_sound(machine)
