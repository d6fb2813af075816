cimport cython
from libc.stdint cimport int64_t

cdef int64_t AMOUNT_MAX
cdef int _SCALE_MAX
cdef tuple _POWERS_OF_TEN


@cython.locals(divisor=int64_t, factor=int64_t, units=int64_t)
cpdef int64_t to_units(int64_t mantissa, int scale, int decimals) except? -2
@cython.locals(units=int64_t, steps=int64_t)
cpdef int64_t to_multiples(int64_t mantissa, int scale, int decimals, int64_t step_units) except? -2
cpdef int64_t ceil_div(int64_t numerator, int64_t denominator) except? -1
