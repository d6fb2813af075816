cimport cython
from libc.stdint cimport uint32_t, uint64_t

from engine cimport wire
from engine.dedup cimport Receipts
from engine.order_index cimport OrderIndex
from engine.orders cimport Order, SpecialOrder, special

cdef int OPEN, WAITING, _IS_SPECIAL
cdef uint64_t SECOND_LEG
cdef bytes _EMPTY


@cython.locals(closed=list, opened=list, order=Order)
cpdef Py_ssize_t append_orders(OrderIndex index, bytearray out) except -1
@cython.locals(_=Py_ssize_t, order=Order)
cpdef Py_ssize_t read_orders(
    OrderIndex index, bytes data, Py_ssize_t position, Py_ssize_t count, list opened
) except -1
@cython.locals(receipts=Receipts, receipt=uint64_t, subject_id=uint64_t, order=Order)
cpdef int link_receipts(OrderIndex index) except -1
cdef bint _is_special(bytes data, Py_ssize_t position) except -1
cdef Py_ssize_t _read(Order order, bytes data, Py_ssize_t at) except -1
cdef Py_ssize_t _read_special(SpecialOrder order, bytes data, Py_ssize_t at) except -1
@cython.locals(at=Py_ssize_t)
cdef int _append(Order order, bytearray out) except -1
