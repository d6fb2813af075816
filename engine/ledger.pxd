cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine cimport wire
from engine.account_assets cimport AccountAsset, AccountAssets

cdef int64_t AMOUNT_MAX
cdef Py_ssize_t _ASSET, _AVAILABLE, _HELD, _ROW_SIZE
cdef bytes _EMPTY_ROW


@cython.final
cdef class Balance(AccountAsset):
    cdef readonly int64_t available_units
    cdef readonly int64_t held_units


@cython.final
cdef class Ledger:
    cdef AccountAssets _balances
    cdef dict _supply_units

    @cython.locals(balance=Balance)
    cpdef int64_t available_units(self, uint64_t account_id, uint64_t asset_id) except? -1
    @cython.locals(balance=Balance)
    cpdef int64_t held_units(self, uint64_t account_id, uint64_t asset_id) except? -1
    cpdef int64_t supply_units(self, uint64_t asset_id) except? -1
    @cython.locals(supply_units=int64_t)
    cpdef int deposit(self, uint64_t account_id, uint64_t asset_id, int64_t amount_units) except -1
    @cython.locals(supply_units=int64_t)
    cpdef int withdraw_held(self, uint64_t account_id, uint64_t asset_id, int64_t amount_units) except -1
    cpdef int hold(self, uint64_t account_id, uint64_t asset_id, int64_t amount_units) except -1
    cpdef int credit(self, uint64_t account_id, uint64_t asset_id, int64_t amount_units) except -1
    cpdef int spend_held(self, uint64_t account_id, uint64_t asset_id, int64_t amount_units) except -1
    @cython.locals(balance=Balance)
    cpdef Balance balance(self, uint64_t account_id, uint64_t asset_id)
    @cython.locals(balance=Balance)
    cpdef uint32_t balance_number(self, uint64_t account_id, uint64_t asset_id) except? 0xA5A5A5A5
    @cython.locals(balance=Balance)
    cpdef Balance balance_at(self, size_t number)
    @cython.locals(available=int64_t, held=int64_t)
    cpdef int hold_in(self, Balance balance, int64_t amount_units) except -1
    @cython.locals(available=int64_t, in_range=bint)
    cpdef int credit_to(self, Balance balance, int64_t amount_units) except -1
    @cython.locals(held=int64_t, in_range=bint)
    cpdef int spend_held_of(self, Balance balance, int64_t amount_units) except -1
    @cython.locals(account_id=uint64_t, balance=Balance, size=Py_ssize_t, at=Py_ssize_t)
    cpdef Py_ssize_t append_rows(self, bytearray out) except -1
    cpdef Py_ssize_t read_rows(self, bytes data, Py_ssize_t position, Py_ssize_t count) except -1
    @cython.locals(balance=Balance)
    cdef int _restore(self, uint64_t account_id, uint64_t asset_id, int64_t available, int64_t held) except -1
    @cython.locals(balance=AccountAsset)
    cdef Balance _find(self, uint64_t account_id, uint64_t asset_id)
    @cython.locals(balance=AccountAsset, found=list)
    cdef list _of(self, uint64_t account_id)
