cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine cimport wire

cdef int _UNIT, _UNIT_SHIFT, _SEGMENT_SHIFT, _SEGMENT_SIZE, _SEGMENT_HEADER_SIZE, _USED, _OWNERS
cdef bytearray _NO_SEGMENT
cdef uint64_t _UNIT_MASK


@cython.final
cdef class Arena:
    cdef public uint64_t first
    cdef public uint64_t last
    cdef public Py_ssize_t start
    cdef public bytearray tail
    cdef public list segments
    cdef uint64_t _ring_mask
    cdef uint64_t _base
    cdef Py_ssize_t _end
    cdef list _digests
    cdef list _spare

    @cython.locals(at=Py_ssize_t, end=Py_ssize_t)
    cpdef uint64_t append(self, Py_ssize_t size) except 0
    @cython.locals(number=uint64_t, segment=bytearray, end=Py_ssize_t, used=Py_ssize_t)
    cpdef uint64_t after(self, uint64_t reference, Py_ssize_t size) except? 1
    cpdef uint64_t oldest(self) except? 1
    @cython.locals(ahead=uint64_t)
    cpdef uint64_t position(self, uint64_t reference) except? 0xA5A5A5A5A5A5A5A5
    cpdef uint64_t reference(self, uint64_t position) except? 0xA5A5A5A5A5A5A5A5
    cpdef bint holds(self, uint64_t position) except -1

    cpdef int drop_before(self, uint64_t reference) except -1
    @cython.locals(place=uint64_t)
    cpdef int drop_first_segment(self) except -1
    cpdef int drop_all(self) except -1

    cpdef Py_ssize_t segment_count(self) except -1
    @cython.locals(is_empty=bint)
    cdef int _open_segment(self) except -1
    @cython.locals(place=uint64_t)
    cdef int _use_segment(self) except -1
    @cython.locals(start=Py_ssize_t, ordinal=uint64_t, segment=bytearray)
    cdef list _extents(self)


cdef Py_ssize_t _whole(Py_ssize_t position) except -1
