cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from engine cimport wire
from engine.registry cimport Standing

cdef int SCALE_ABSENT, PLACE_ORDER, CANCEL_ORDER, AMEND_ORDER, PLACE_SPECIAL_ORDER
cdef bytes COMMAND_SIZES, COMMAND_TEXTS
cdef Py_ssize_t _LENGTH, _ACCOUNT, _ISSUED, _CONTENT, _MARKET, _SIDE, _TYPE, _TIME_IN_FORCE, _POST_ONLY, _SELF_TRADE
cdef Py_ssize_t _PRICE, _PRICE_SCALE, _QUANTITY, _QUANTITY_SCALE
cdef Py_ssize_t _ORDER, _NEW_PRICE, _NEW_PRICE_SCALE, _NEW_QUANTITY, _NEW_QUANTITY_SCALE


@cython.final
cdef class OrderCommand:
    cdef public bytes data
    cdef public object record
    cdef public Standing standing
    cdef public int kind
    cdef public uint64_t account_id
    cdef public int64_t issued_at_ns
    cdef public Py_ssize_t id_start, id_length, name_start, name_length, content_start, content_length
    cdef public uint32_t receipt
    cdef public uint64_t id_hash, name_hash
    cdef public uint64_t order_id
    cdef public uint32_t market_id
    cdef public uint8_t side, order_type, time_in_force, post_only, self_trade
    cdef public int64_t price_mantissa, quantity_mantissa
    cdef public uint8_t price_scale, quantity_scale

    @cython.locals(end=Py_ssize_t)
    cpdef Py_ssize_t read(self, bytes data, Py_ssize_t at) except -1
    @cython.locals(text=Py_ssize_t, texts=int)
    cdef int _find_texts(self, Py_ssize_t at) except -1
    cdef int _read_record(self, bytes data, Py_ssize_t at) except -1
