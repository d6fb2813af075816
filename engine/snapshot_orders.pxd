cimport cython
from libc.stdint cimport uint64_t

from engine cimport wire
from engine.arena cimport Arena
from engine.order_index cimport OrderIndex
from engine.order_rows cimport read_row, row_is_special, row_size, write_row
from engine.orders cimport Order

cdef int _IS_SPECIAL


@cython.locals(opened=list, receipts=Arena, order=Order, at=Py_ssize_t)
cpdef Py_ssize_t append_orders(OrderIndex index, bytearray out) except -1
@cython.locals(row=bytearray, _=Py_ssize_t, order=Order)
cpdef Py_ssize_t read_orders(
    OrderIndex index, bytes data, Py_ssize_t position, Py_ssize_t count, list opened
) except -1
