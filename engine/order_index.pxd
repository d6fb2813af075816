cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine cimport wire
from engine.closed_orders cimport ClosedOrders
from engine.dedup cimport Receipts
from engine.number_index cimport NumberIndex
from engine.orders cimport Order, OrderPool

cdef int WAITING
cdef Py_ssize_t _WORD
cdef uint64_t _IS_ROW, _ROW_MASK


@cython.final
cdef class OrderIndex:
    cdef public OrderPool pool
    cdef public Receipts receipts
    cdef readonly ClosedOrders closed
    cdef list _closing
    cdef Py_ssize_t _closing_count
    cdef public int64_t last_trade_id
    cdef public int64_t last_priority
    cdef NumberIndex _by_number
    cdef bytearray _first_open
    cdef bytearray _open_counts
    cdef dict _waiting_counts

    @cython.locals(place=uint64_t)
    cpdef Order find(self, uint64_t order_id)
    @cython.locals(place=uint64_t)
    cpdef Order find_open(self, uint64_t order_id)
    @cython.locals(place=uint64_t)
    cpdef uint64_t find_row(self, uint64_t order_id) except? 1
    cpdef int add(self, Order order, uint32_t receipt) except -1
    cpdef int close(self, Order order) except -1
    @cython.locals(place=Py_ssize_t, order=Order)
    cpdef int write_down_closed(self) except -1
    @cython.locals(place=uint64_t)
    cpdef int forget(self, uint64_t order_id) except -1
    @cython.locals(row=uint64_t, after=uint64_t)
    cpdef int read_closed(self) except -1
    @cython.locals(row=uint64_t)
    cpdef list remembered(self)
    cpdef int64_t next_trade_id(self) except -1
    cpdef int64_t next_priority(self) except -1
    @cython.locals(place=Py_ssize_t, first=uint32_t)
    cpdef int enlist(self, Order order) except -1
    @cython.locals(place=Py_ssize_t)
    cpdef int strike(self, Order order) except -1
    @cython.locals(slot=uint32_t, order=Order)
    cpdef list open_orders(self, Py_ssize_t account_id)
    cpdef Py_ssize_t open_count(self, Py_ssize_t account_id) except -1
    cdef Py_ssize_t _word(self, bytearray words, Py_ssize_t account_id) except -1
