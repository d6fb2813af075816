cimport cython
from libc.stdint cimport uint32_t, uint64_t

from engine cimport wire
from engine.arena cimport Arena
from engine.order_rows cimport read_row, row_is_special, row_order_id, row_receipt, row_size, write_row
from engine.orders cimport Order, SpecialOrder

cdef int UNIT, SEGMENT_SHIFT, _SEGMENTS_MAX, _REMEMBERED
cdef uint64_t UNIT_MASK


@cython.final
cdef class ClosedOrders:
    cdef readonly Arena arena
    cdef Arena _receipts
    cdef list _segments
    cdef Py_ssize_t _length

    @cython.locals(reference=uint64_t)
    cpdef uint64_t add(self, Order order) except 0
    @cython.locals(segment=bytearray, at=Py_ssize_t, order=Order)
    cpdef Order copy(self, uint64_t reference)
    @cython.locals(segment=bytearray)
    cpdef int remember(self, uint64_t reference) except -1
    @cython.locals(segment=bytearray, remembered=uint32_t)
    cpdef int forget(self, uint64_t reference) except -1

    cpdef uint64_t oldest(self) except? 1
    @cython.locals(segment=bytearray, at=Py_ssize_t)
    cpdef uint64_t after(self, uint64_t reference) except? 1
    cpdef uint64_t order_id(self, uint64_t reference) except? 0xA5A5A5A5A5A5A5A5
    @cython.locals(segment=bytearray, at=Py_ssize_t)
    cpdef bint is_remembered(self, uint64_t reference) except -1
    cpdef uint32_t remembered_in(self, uint64_t number) except? 0xA5A5A5A5
    @cython.locals(arena=Arena, segment=bytearray)
    cdef int _drop_forgotten_segments(self) except -1
