cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine.dedup cimport Receipts
from engine.event_writer cimport EventWriter
from engine.ledger cimport Ledger
from engine.market cimport Market
from engine.matching cimport would_trade
from engine.order_checks cimport check_limits, check_matching, needed_units, read_amendment
from engine.order_command cimport OrderCommand
from engine.order_entry cimport read_amounts, read_order, well_formed
from engine.order_index cimport OrderIndex
from engine.orders cimport Order, OrderPool
from engine.registry cimport Registry
from engine.session cimport Session
from engine.sessions cimport Sessions
from engine.timers cimport Timers
from engine.volume cimport Volumes

cdef int ACCEPTED, CLOSED_BY_OWNER, LIMIT, MARKET, OPEN, POST_ONLY, TRADING, WAITING


@cython.final
cdef class Trading:
    cdef public OrderIndex index
    cdef public Volumes volumes
    cdef public Sessions sessions
    cdef list _markets
    cdef Registry _registry
    cdef Ledger _ledger
    cdef Timers _timers

    cpdef Market market(self, size_t market_id)
    cpdef Market market_of(self, Order order)
    @cython.locals(order=Order)
    cpdef Order find_order(self, uint64_t account_id, uint64_t order_id)
    @cython.locals(receipt=uint64_t)
    cpdef Order find_named_order(
        self, uint64_t hashed, uint64_t account_id, bytes data, Py_ssize_t start, Py_ssize_t length
    )
    @cython.locals(market=Market, reason=int, order=Order, held_units=int64_t)
    cpdef int place(self, OrderCommand command, uint64_t sequence, int64_t timestamp_ns, EventWriter emit) except -1
    @cython.locals(reason=int, session=Session, goes_to_auction=bint)
    cdef int _check_placement(self, Market market, Order order, OrderCommand command) except -1
    @cython.locals(market=Market)
    cpdef int cancel(self, Order order, int64_t timestamp_ns, EventWriter emit) except -1
    @cython.locals(market=Market, wanted=Order, reason=int)
    cpdef int amend(self, Order order, OrderCommand command, int64_t timestamp_ns, EventWriter emit) except -1
    @cython.locals(reason=int, keeps_place=bint, crosses=bint, held_units=int64_t)
    cdef int _amend_to(
        self, Market market, Order order, Order wanted, OrderCommand command, EventWriter emit
    ) except -1
