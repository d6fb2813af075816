cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine.rate cimport Counted


cdef class Standing(Counted):
    cdef public uint32_t frozen
    cdef public uint32_t names_references
    cdef public uint32_t open_orders_max
    cdef public uint32_t stops_max
    cdef public uint32_t requests_max
    cdef public uint32_t window_ms
    cdef public int64_t dead_man_ns


# Not final: tests derive from it.
cdef class Registry:
    cdef readonly list assets
    cdef readonly list markets
    cdef readonly list accounts
    cdef readonly dict asset_ids
    cdef readonly dict market_ids
    cdef readonly dict account_ids
    cdef readonly dict api_keys
    cdef readonly dict deposits
    cdef readonly list standings
    cdef bytearray _roles

    cpdef bint has_account(self, uint64_t account_id) except -1
    cpdef int role_of(self, uint64_t account_id) except -1
    @cython.locals(standing=Standing)
    cpdef Standing standing(self, uint64_t account_id)
    cpdef Standing standing_of(self, uint64_t account_id)
    @cython.locals(standing=Standing)
    cpdef bint is_frozen(self, uint64_t account_id) except -1
