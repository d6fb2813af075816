cimport cython
from libc.stdint cimport int64_t

from engine.book cimport BookSide
from engine.market cimport Market
from engine.matching cimport cost_of_fillable, fillable, would_trade
from engine.order_command cimport OrderCommand
from engine.order_entry cimport check_notional, set_price, set_quantity
from engine.orders cimport Order
from engine.registry cimport Standing

cdef int AUCTION, FOK, IOC, LIMIT, MARKET, MARKET_BUDGET, OPEN, POST_ONLY, SELL, WAITING, SCALE_ABSENT, STOP
cdef int ACCEPTED
cdef int64_t NOTIONAL_MAX, OPEN_ORDERS_PER_ACCOUNT_MAX, PRICE_LEVELS_PER_SIDE_MAX


cpdef bint can_rest(Order order) except -1
@cython.locals(post_only=bint)
cpdef int check_matching(Market market, Order order) except -1
cpdef int64_t needed_units(Market market, Order order) except? -1
@cython.locals(levels=BookSide)
cdef bint _too_many_levels(Market market, int side, int64_t price_ticks) except -1
@cython.locals(open_orders_max=int64_t, too_many=bint)
cpdef int check_limits(Market market, Order order, Standing standing, int also=*) except -1
@cython.locals(reason=int, spent_lots=int64_t, is_reduction=bint)
cpdef int read_amendment(Market market, Order order, OrderCommand command, Order wanted) except -1
