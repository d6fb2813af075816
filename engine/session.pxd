cimport cython
from libc.stdint cimport int64_t

from engine.rate cimport Counted

cdef int AUCTION, BUY, TRADING
cdef int64_t FEE_SCALE


@cython.final
cdef class Session(Counted):
    cdef object _rules
    cdef public object indicative, tiers, schedule
    cdef public int state, phase
    cdef public int64_t last_price_ticks, reference_ticks
    cdef public int64_t phase_ends_ns, announced_end_ns, next_step_ns
    cdef public int64_t requests_max, window_ms
    cdef public int64_t band_ppm, interrupts, no_cancel_ms, open_orders_max, stops_max

    @cython.locals(distance_ticks=int64_t)
    cpdef int64_t band_edge_ticks(self, int side) except -1
    @cython.locals(edge_ticks=int64_t)
    cpdef bint lets_rest(self, int side, int64_t price_ticks) except -1
    cpdef bint refuses_cancels(self) except -1
