cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine.dedup cimport Receipts, id_is_valid_at
from engine.event_writer cimport EventWriter
from engine.market cimport Market
from engine.order_command cimport OrderCommand
from engine.order_index cimport OrderIndex
from engine.orders cimport Order
from engine.rate cimport use_rate
from engine.registry cimport Registry, Standing
from engine.session cimport Session
from engine.trading cimport Trading
from engine.transfers cimport Transfers
from engine.withdrawals cimport Withdrawals

cdef int PLACE_ORDER, CANCEL_ORDER, AMEND_ORDER, PLACE_SPECIAL_ORDER, PLACE_OCO, _REQUEST_WITHDRAWAL, _CREATE_TRANSFER
cdef int _SEND_TRANSFER
cdef int FORGOTTEN_PER_COMMAND_MAX


@cython.final
cdef class Requests:
    cdef Registry _registry
    cdef Receipts _receipts
    cdef Trading _trading
    cdef Withdrawals _withdrawals
    cdef Transfers _transfers
    cdef object _accounts, _group_transfers, _sales
    cdef list _handlers

    cpdef bint handles(self, int kind) except -1
    @cython.locals(
        data=bytes, start=Py_ssize_t, length=Py_ssize_t, receipts=Receipts, receipt=uint64_t, named=uint64_t
    )
    cpdef int answer(
        self, OrderCommand command, uint64_t sequence, int64_t timestamp_ns, EventWriter emit
    ) except -1
    @cython.locals(data=bytes, start=Py_ssize_t, length=Py_ssize_t)
    cpdef int prefetch(self, OrderCommand command) except -1
    @cython.locals(_=int, receipt=uint64_t, order_id=uint64_t, order=Order)
    cpdef int forget_old(self, int64_t timestamp_ns) except -1
    @cython.locals(receipts=Receipts, written=Py_ssize_t, subject_id=uint64_t, reason=int, order=Order)
    cdef int _execute(self, OrderCommand command, uint64_t sequence, int64_t timestamp_ns, EventWriter emit) except -1
    @cython.locals(account_id=uint64_t, start=Py_ssize_t, length=Py_ssize_t)
    cdef Order _order_named(self, OrderCommand command)
    @cython.locals(receipts=Receipts, sequence=uint64_t, reason=int, subject_id=uint64_t)
    cdef int _answer_again(self, uint64_t receipt, OrderCommand command, EventWriter emit) except -1
    @cython.locals(standing=Standing)
    cdef uint64_t _named_by(self, OrderCommand command) except? 1
    @cython.locals(name=bytes, number=uint64_t)
    cdef uint64_t _named_for_ever(
        self, uint64_t account_id, bytes data, Py_ssize_t start, Py_ssize_t length
    ) except? 1
    @cython.locals(standing=Standing, market_id=uint32_t, order=Order, market=Market, session=Session)
    cdef bint _use_rates(self, OrderCommand command, int64_t timestamp_ns) except -1


@cython.locals(start=Py_ssize_t, length=Py_ssize_t)
cdef bint _names_fit(OrderCommand command) except -1
