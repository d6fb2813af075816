cimport cython
from libc.stdint cimport int64_t, uint32_t

from engine.book cimport BookSide, Level
from engine.event_writer cimport EventWriter
from engine.fees cimport charge, fee_to_come_units
from engine.ledger cimport Ledger
from engine.market cimport Market
from engine.orders cimport Order, shown_lots
from engine.session cimport Session

cdef int BUY, SELL, CANCEL_NEWEST, CANCEL_OLDEST, DECREMENT, CANCELLED, FILLED, OPEN, LIMIT, MARKET_BUDGET
cdef int CLOSED_BUDGET_SPENT, CLOSED_FILLED, CLOSED_NO_LIQUIDITY, CLOSED_PRICE_BAND, CLOSED_SELF_TRADE
cdef int EXCHANGE_ACCOUNT
cdef int64_t AMOUNT_MAX, FEE_SCALE, _BEYOND_ALL_FUNDS


@cython.locals(opposite=BookSide, best=Level)
cpdef bint would_trade(Market market, int side, int order_type, int64_t price_ticks) except -1
@cython.locals(
    opposite=BookSide, wanted_lots=int64_t, executed_lots=int64_t, notional_units=int64_t, position=Py_ssize_t,
    level=Level, lots=int64_t, lot_notional_units=int64_t,
)
cpdef int64_t fillable(Market market, Order order) except? -1
@cython.locals(notional_units=int64_t, rate_ppm=int64_t)
cpdef int64_t cost_of_fillable(Market market, Order order) except? -1
@cython.locals(
    opposite=BookSide, least_key=int64_t, greatest_key=int64_t, by_budget=bint, level=Level, maker=Order,
    lots=int64_t, at_band=bint,
)
cpdef bint match(Market market, Order taker, EventWriter emit) except -1
@cython.locals(
    notional_units=int64_t, maker_fee_units=int64_t, taker_fee_units=int64_t, maker_replenished=bint,
    taker_replenished=bint, session=Session,
)
cpdef int trade(
    Market market, Order maker, Order taker, int64_t price_ticks, int64_t lots, EventWriter emit
) except -1
cpdef int64_t own_limit_key(int side, int order_type, int64_t price_ticks) except? -1
@cython.locals(ledger=Ledger, quote=uint32_t, base=uint32_t, paid_units=int64_t, base_units=int64_t)
cdef int _settle(
    Market market, Order buyer, int64_t buyer_fee_units, Order seller, int64_t seller_fee_units,
    int64_t notional_units, int64_t lots,
) except -1
@cython.locals(session=Session, highest_ticks=int64_t, lowest_ticks=int64_t)
cdef int _find_keys_allowed(Market market, Order order) except -1
@cython.locals(
    executed_lots=int64_t, hidden=list, turn=Py_ssize_t, slot=uint32_t, maker=Order, shown=int64_t, open_lots=int64_t,
    own=bint, lots=int64_t,
)
cdef int64_t _fillable_at(
    Market market, BookSide opposite, Level level, Order order, int64_t wanted_lots
) except? -1
@cython.locals(rests=bint, replenished=bint)
cdef bint _fill(Market market, Order order, int64_t lots) except -1
@cython.locals(replenished=bint)
cdef bint _take(Market market, Order order, int64_t lots) except -1
@cython.locals(held_units=object, overpaid_ppm=object, lot_notional_units=object, scale=object, rate_ppm=object)
cdef int _size_by_budget(Market market, Order taker, int64_t price_ticks) except -1
@cython.locals(status=int)
cdef int _close_budget(Market market, Order taker, bint at_band, bint stopped_by_price, EventWriter emit) except -1
cdef int _prevent(Market market, Order order, EventWriter emit) except -1
@cython.locals(order=Order, replenished=bint)
cdef int _decrement(Market market, Order maker, Order taker, int64_t lots, EventWriter emit) except -1
