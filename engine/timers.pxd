cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine cimport wire
from engine.hash_index cimport HashIndex

cdef uint64_t _HASH_MASK, _HASH_FACTOR


@cython.final
cdef class Timer:
    cdef int64_t due_ns
    cdef int kind
    cdef uint32_t number
    cdef uint64_t subject_id
    cdef Py_ssize_t place


@cython.final
cdef class Timers:
    cdef list _heap
    cdef list _timers
    cdef HashIndex _index
    cdef Py_ssize_t _unused

    @cython.locals(timer=Timer)
    cpdef int schedule(self, int64_t due_ns, int kind, uint64_t subject_id) except -1
    @cython.locals(timer=Timer)
    cpdef int forget(self, int kind, uint64_t subject_id) except -1
    @cython.locals(timer=Timer)
    cpdef object pop_due(self, int64_t now_ns)
    @cython.locals(timer=Timer)
    cpdef object next_due_ns(self)
    @cython.locals(number=uint64_t, timer=Timer)
    cdef Timer _find(self, int kind, uint64_t subject_id)
    @cython.locals(timer=Timer)
    cdef Timer _new(self, int kind, uint64_t subject_id)
    @cython.locals(last=Timer)
    cdef int _remove(self, Timer timer) except -1
    @cython.locals(heap=list, size=Py_ssize_t, below=Py_ssize_t, parent=Timer, child=Timer)
    cdef int _settle(self, Timer timer, Py_ssize_t place) except -1


cdef bint _comes_before(Timer one, Timer other) except -1
cdef uint64_t _hash(int kind, uint64_t subject_id) except? 0
