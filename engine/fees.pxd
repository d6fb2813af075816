cimport cython
from libc.stdint cimport int64_t

from engine.amounts cimport ceil_div
from engine.orders cimport Order

cdef int64_t FEE_SCALE


@cython.locals(exact_ppm=int64_t, rounded_units=int64_t, fee_units=int64_t)
cpdef int64_t charge(Order order, int64_t notional_units, int64_t rate_ppm) except? -1
@cython.locals(exact_ppm=int64_t)
cpdef int64_t fee_to_come_units(int64_t fee_overpaid_ppm, int64_t notional_units, int64_t rate_ppm) except? -1
