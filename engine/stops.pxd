cimport cython
from libc.stdint cimport int64_t

from engine.orders cimport Order


@cython.final
cdef class StopBook:
    cdef tuple _waiting
    cdef dict _trailing
