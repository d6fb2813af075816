cimport cython
from libc.stdint cimport int64_t, uint64_t

from engine.amounts cimport to_multiples, to_units
from engine.market cimport Market
from engine.order_command cimport OrderCommand
from engine.orders cimport Order, OrderPool, SpecialOrder, special

cdef int BUY, DAY, DECREMENT, FOK, GTC, GTD, IOC, LIMIT, MARKET, MARKET_BUDGET, SELL, STOP, TRAIL_BY_PPM, WAITING
cdef int TRAIL_BY_PRICE, PLACE_SPECIAL_ORDER, SCALE_ABSENT, ICEBERG_PARTS_MAX
cdef int ACCEPTED
cdef int64_t AMOUNT_MAX, NOTIONAL_MAX, NOT_A_MULTIPLE, FEE_SCALE


cpdef bint well_formed(OrderCommand command) except -1
@cython.locals(order=Order, pool=OrderPool)
cpdef Order read_order(OrderCommand command, Market market, uint64_t sequence)
@cython.locals(reason=int)
cpdef int read_amounts(Order order, OrderCommand command, Market market) except -1
@cython.locals(price_ticks=int64_t)
cpdef int set_price(Order order, Market market, int64_t mantissa, int scale) except -1
@cython.locals(quantity_lots=int64_t, budget_units=int64_t)
cpdef int set_quantity(Order order, Market market, int64_t mantissa, int scale) except -1
@cython.locals(price_ticks=int64_t, lot_notional_units=int64_t)
cpdef int check_notional(Order order, Market market) except -1
