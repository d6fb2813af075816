cimport cython
from libc.stdint cimport int64_t

cdef int64_t NS_PER_MS


cdef class Counted:
    cdef public int64_t window
    cdef public int64_t requests_in_window


@cython.locals(window=int64_t)
cpdef bint use_rate(Counted counted, int64_t requests_max, int64_t window_ms, int64_t timestamp_ns) except -1
