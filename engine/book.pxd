cimport cython
from libc.stdint cimport int64_t, uint32_t

from engine cimport wire
from engine.orders cimport Order, OrderPool, SpecialOrder, shown_lots, special

cdef int BUY, SELL
cdef Py_ssize_t _KEY_SIZE


@cython.final
cdef class Level:
    cdef public int64_t key
    cdef public int64_t price_ticks
    cdef public int64_t open_lots
    cdef public int64_t shown_lots
    cdef public uint32_t order_count
    cdef public uint32_t number
    cdef public uint32_t oldest
    cdef public uint32_t newest


@cython.final
cdef class BookSide:
    cdef public int side
    cdef public OrderPool pool
    cdef public list levels
    cdef bytearray _keys
    cdef list _numbered
    cdef list _free

    cpdef int64_t key_of(self, int64_t price_ticks) except? -1
    cpdef Level best(self)
    @cython.locals(key=int64_t, position=Py_ssize_t, level=Level)
    cpdef Level level_at(self, int64_t price_ticks)
    cpdef Level level_of(self, Order order)
    cpdef Order oldest(self, Level level)
    @cython.locals(slot=uint32_t, order=Order)
    cpdef list orders(self, Level level)
    @cython.locals(key=int64_t, position=Py_ssize_t, level=Level)
    cpdef int add(self, Order order) except -1
    @cython.locals(level=Level, position=Py_ssize_t)
    cpdef int remove(self, Order order) except -1
    @cython.locals(level=Level, iceberg=SpecialOrder)
    cpdef int reduce(self, Order order, int64_t lots) except -1
    @cython.locals(level=Level, iceberg=SpecialOrder)
    cpdef int shrink(self, Order order, int64_t lots) except -1
    cdef Py_ssize_t _position(self, int64_t key) except -1
    @cython.locals(level=Level)
    cdef Level _new_level(self, int64_t key, int64_t price_ticks)


@cython.final
cdef class Book:
    cdef public BookSide bids
    cdef public BookSide asks

    cpdef BookSide side(self, int side)
    cpdef BookSide opposite(self, int side)
