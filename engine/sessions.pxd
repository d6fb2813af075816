cimport cython
from libc.stdint cimport int64_t

from engine.event_writer cimport EventWriter
from engine.market cimport Market
from engine.matching cimport match
from engine.orders cimport Order
from engine.session cimport Session

cdef int TRADING, OPEN, LIMIT, IOC, FOK, CLOSED_PRICE_BAND, CLOSED_IOC_REST, CLOSED_NO_LIQUIDITY


@cython.final
cdef class Sessions:
    cdef public bytes chain
    cdef public dict auctions
    cdef object _timers

    cpdef int run_taker(self, Market market, Order order, EventWriter emit) except -1
    cdef int _finish_trading(self, Market market, EventWriter emit) except -1
    cdef int _execute(self, Market market, Order order, EventWriter emit) except -1
    @cython.locals(at_band=bint, interrupts=bint, can_rest=bint)
    cdef int _match(self, Market market, Order order, EventWriter emit) except -1
