cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef int NO_TRIGGER, NOT_CLOSED, OPEN


# Without a field that is a Python object, so that the garbage collector never sees it.
cdef class Order:
    cdef public uint64_t order_id
    cdef public int64_t price_ticks
    cdef public int64_t quantity_lots
    cdef public int64_t open_lots
    cdef public int64_t executed_lots
    cdef public int64_t prevented_lots
    cdef public int64_t cancelled_lots
    cdef public int64_t notional_units
    cdef public int64_t fee_units
    cdef public int64_t held_units
    cdef public int64_t accepted_at_ns
    cdef public int64_t priority
    cdef public uint32_t account_id
    cdef public uint32_t market_id
    cdef public uint32_t fee_overpaid_ppm
    cdef public uint32_t receipt
    cdef public uint32_t slot
    cdef public uint32_t older
    cdef public uint32_t newer
    cdef public uint32_t level
    cdef public uint32_t before
    cdef public uint32_t after
    cdef public uint32_t balance
    cdef public uint8_t side
    cdef public uint8_t order_type
    cdef public uint8_t time_in_force
    cdef public uint8_t post_only
    cdef public uint8_t self_trade
    cdef public uint8_t status
    cdef public uint8_t close_reason
    cdef public uint8_t is_special


@cython.final
cdef class SpecialOrder(Order):
    cdef public int64_t budget_units
    cdef public int64_t stop_ticks
    cdef public int64_t trail_ticks
    cdef public int64_t display_lots
    cdef public int64_t visible_lots
    cdef public int64_t expires_at_ns
    cdef public uint64_t linked_order_id
    cdef public uint32_t trail_ppm
    cdef public uint8_t trigger


@cython.final
cdef class OrderPool:
    cdef list _slots
    cdef list _free
    cdef list _free_slots

    @cython.locals(order=Order)
    cpdef Order at(self, size_t slot)
    @cython.locals(order=Order)
    cpdef Order take(self, uint64_t order_id, uint32_t account_id, uint32_t market_id, int side)
    @cython.locals(order=SpecialOrder)
    cpdef SpecialOrder take_special(self, uint64_t order_id, uint32_t account_id, uint32_t market_id, int side)
    cpdef int give_back(self, Order order) except -1
    @cython.locals(slot=Py_ssize_t, order=Order)
    cpdef list in_use(self)
    @cython.locals(order=Order)
    cpdef int reserve(self, Py_ssize_t count) except -1


cpdef int begin(Order order, uint64_t order_id, uint32_t account_id, uint32_t market_id, int side) except -1
cpdef int64_t shown_lots(Order order) except? -1
cpdef SpecialOrder special(Order order)
