cimport cython
from libc.stdint cimport int64_t, uint32_t

from engine.book cimport Book
from engine.event_writer cimport EventWriter
from engine.fees cimport fee_to_come_units
from engine.ledger cimport Balance, Ledger
from engine.order_index cimport OrderIndex
from engine.orders cimport Order, SpecialOrder, special
from engine.session cimport Session
from engine.stops cimport StopBook
from engine.timers cimport Timers
from engine.volume cimport Volumes

cdef int BUY, CANCELLED, CLOSED_OTHER_LEG, LIMIT, MARKET_BUDGET, OPEN, WAITING, ORDER_EXPIRES


@cython.final
cdef class Market:
    cdef public object spec
    cdef public StopBook stops
    cdef public Timers timers
    cdef public Ledger ledger
    cdef public OrderIndex index
    cdef public Volumes volumes
    cdef public Session session
    cdef public Book book
    cdef public int64_t open_count, timestamp_ns, first_trade_ticks, last_trade_ticks
    cdef public bint book_changed
    cdef public uint32_t market_id, base_asset_id, quote_asset_id
    cdef public int base_decimals, quote_decimals
    cdef public int64_t price_ticks_max, tick_units, lot_units, notional_units, min_notional_units
    cdef public int64_t listed_maker_ppm, listed_taker_ppm, worst_rate_ppm
    cdef public int64_t least_key, greatest_key, prevented_lots, fillable_notional_units
    cdef public bint fillable_stopped

    cpdef int begin(self, int64_t timestamp_ns) except -1
    cpdef int rest(self, Order order) except -1
    cpdef int requeue(self, Order order, int64_t executed_lots) except -1
    cpdef int lift(self, Order order) except -1
    cpdef int wait(self, Order order) except -1
    cpdef int wait_no_more(self, Order order) except -1
    cpdef int restore(self, Order order) except -1
    cpdef int cancel(self, Order order, int reason, EventWriter emit) except -1
    @cython.locals(released_units=int64_t)
    cpdef int close_with_rest(self, Order order, int status, int reason, EventWriter emit) except -1
    cpdef int close(self, Order order, int status, int reason) except -1
    @cython.locals(other=Order)
    cpdef int close_other_leg(self, Order order, EventWriter emit) except -1
    cpdef int adjust_hold(self, Order order, int64_t held_units) except -1
    cpdef Balance balance_of(self, Order order)
    cpdef int64_t available_units(self, Order order) except -1
    cpdef uint32_t held_asset_id(self, Order order) except? 0xA5A5A5A5
    @cython.locals(need_units=int64_t, other=Order)
    cpdef int64_t held_for(self, Order order) except? -1
    cpdef int64_t need_once_elected(self, Order order) except? -1
    cpdef int64_t maker_rate_ppm(self, uint32_t account_id) except? -1
    cpdef int64_t taker_rate_ppm(self, uint32_t account_id) except? -1
    @cython.locals(notional_units=int64_t, fee_units=int64_t)
    cdef int64_t _need(self, Order order, int64_t price_ticks) except? -1
    @cython.locals(iceberg=SpecialOrder)
    cdef int _queue(self, Order order) except -1
