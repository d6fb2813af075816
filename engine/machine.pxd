cimport cython
from libc.stdint cimport int64_t, uint64_t

from engine cimport wire
from engine.codec cimport check_commands
from engine.dedup cimport Receipts
from engine.event_writer cimport EventWriter
from engine.ledger cimport Ledger
from engine.order_command cimport OrderCommand
from engine.registry cimport Registry
from engine.requests cimport Requests
from engine.sessions cimport Sessions
from engine.timers cimport Timers
from engine.trading cimport Trading

cdef int _RESOLVE_REQUEST, OPERATOR
cdef Py_ssize_t _READ_AHEAD, _RING_MASK
cdef uint64_t EXCHANGE_ACCOUNT
cdef int64_t REQUEST_AGE_NS_MAX


# Not final: tests derive from it.
cdef class Machine:
    cdef public uint64_t sequence
    cdef public int64_t timestamp_ns
    cdef public bytes chain
    cdef public Registry registry
    cdef public Ledger ledger
    cdef public Receipts receipts
    cdef public Trading trading
    cdef public Sessions sessions
    cdef public Timers timers
    cdef public object accounts, withdrawals, transfers, market_admin, sales
    cdef public object group_transfers, mirrors, rules
    cdef object _listing
    cdef Requests _requests
    cdef EventWriter _emit
    cdef list _commands

    @cython.locals(
        ends=bytearray, position=Py_ssize_t, at=Py_ssize_t, offset=Py_ssize_t, ahead=Py_ssize_t,
        command=OrderCommand,
    )
    cdef bytes _execute_all(self, bytes commands, Py_ssize_t count)
    @cython.locals(emit=EventWriter, now_ns=int64_t)
    cdef int _execute(self, OrderCommand command) except -1
    cdef bint _is_timely(self, int64_t issued_at_ns) except -1
    cdef int _publish_auctions(self) except -1
