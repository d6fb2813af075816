cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine cimport wire
from engine.orders cimport Order

cdef uint64_t BY_TIME
cdef int COMMAND_REJECTED, REQUEST_REPEATED, ORDER_ACCEPTED, TRADE_EXECUTED, ORDER_CLOSED, ORDER_AMENDED
cdef int COMMAND_REJECTED_SIZE, REQUEST_REPEATED_SIZE, ORDER_ACCEPTED_SIZE, TRADE_EXECUTED_SIZE
cdef int ORDER_CLOSED_SIZE, ORDER_AMENDED_SIZE, _BUFFER_SIZE, _RECORD_SIZE_MAX


@cython.final
cdef class EventWriter:
    cdef bytearray _buffer
    cdef public Py_ssize_t length
    cdef public uint64_t command_offset

    cpdef int begin_entry(self) except -1
    cpdef bytes written(self)
    @cython.locals(at=Py_ssize_t)
    cpdef int command_rejected(self, int reason, uint64_t original_sequence) except -1
    @cython.locals(at=Py_ssize_t)
    cpdef int request_repeated(self, uint64_t original_sequence, int reason) except -1
    @cython.locals(at=Py_ssize_t, buffer=bytearray)
    cpdef int order_accepted(self, Order order, bytes data, Py_ssize_t start, Py_ssize_t length) except -1
    @cython.locals(at=Py_ssize_t, buffer=bytearray)
    cpdef int trade_executed(
        self, uint64_t trade_id, int64_t price_ticks, int64_t lots, int64_t notional_units, Order maker, Order taker,
        int64_t maker_fee_units, int64_t taker_fee_units, int64_t taker_open_lots,
    ) except -1
    @cython.locals(at=Py_ssize_t, buffer=bytearray)
    cpdef int order_closed(self, Order order, int64_t released_units) except -1
    @cython.locals(at=Py_ssize_t, buffer=bytearray)
    cpdef int order_amended(self, Order order, bint kept_place) except -1
    @cython.locals(at=Py_ssize_t)
    cdef Py_ssize_t _begin_record(self, uint64_t kind, uint64_t size) except -1
    cdef int _make_room(self, Py_ssize_t size) except -1
