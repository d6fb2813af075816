cimport cython
from libc.stdint cimport int64_t, uint64_t

from engine cimport wire
from engine.arena cimport Arena
from engine.orders cimport Order, SpecialOrder, special

cdef int _ORDER_ID, _RECEIPT, _IS_SPECIAL, _ROW_SIZE, _SPECIAL_SIZE


cpdef Py_ssize_t row_size(int is_special) except -1
cpdef int row_is_special(bytearray buffer, Py_ssize_t at) except -1
cpdef uint64_t row_order_id(bytearray buffer, Py_ssize_t at) except? 0xA5A5A5A5A5A5A5A5
cpdef uint64_t row_receipt(bytearray buffer, Py_ssize_t at) except? 0xA5A5A5A5A5A5A5A5
cpdef Py_ssize_t write_row(Order order, Arena receipts, bytearray buffer, Py_ssize_t at) except -1
cpdef Py_ssize_t read_row(Order order, Arena receipts, bytearray buffer, Py_ssize_t at) except -1
cdef Py_ssize_t _write_special(SpecialOrder order, bytearray buffer, Py_ssize_t at) except -1
cdef Py_ssize_t _read_special(SpecialOrder order, bytearray buffer, Py_ssize_t at) except -1
