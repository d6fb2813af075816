cimport cython
from libc.stdint cimport int64_t, uint64_t

from engine.closed_orders cimport ClosedOrders
from engine.dedup cimport Receipts
from engine.machine cimport Machine
from engine.market cimport Market
from engine.order_index cimport OrderIndex
from engine.orders cimport Order
from engine.trading cimport Trading

cdef int SEGMENT_SHIFT, AUCTION, LIMIT, NO_TRIGGER, OPEN, WAITING
cdef int64_t FEE_SCALE


@cython.locals(receipt=uint64_t, name=bytes, account_id=uint64_t, found=uint64_t)
cdef int _assert_receipts_sound(Receipts receipts) except -1
@cython.locals(
    closed=ClosedOrders, remembered=Py_ssize_t, by_segment=dict, row=uint64_t, order_id=uint64_t, order=Order,
)
cdef int _assert_closed_orders_sound(OrderIndex index) except -1
@cython.locals(receipts=Receipts, parts=int64_t)
cdef int _assert_order_sound(OrderIndex index, Order order) except -1
@cython.locals(
    open_count=Py_ssize_t, index=OrderIndex, order=Order, market=Market, in_auction=bint,
    indexed=Py_ssize_t, account_id=Py_ssize_t, own=list,
)
cdef dict _assert_orders_sound(Machine machine)
