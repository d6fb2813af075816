cimport cython
from libc.stdint cimport uint32_t, uint64_t

from engine cimport wire
from engine.hash_index cimport HashIndex

cdef uint64_t _ID_MAX, _HASH_MASK, _HASH_FACTOR
cdef Py_ssize_t _NUMBER_SIZE


cdef class AccountAsset:
    cdef readonly uint32_t account_id
    cdef readonly uint32_t asset_id
    cdef uint32_t next_row
    cdef readonly uint32_t number


@cython.final
cdef class AccountAssets:
    cdef readonly list rows
    cdef HashIndex _index
    cdef bytearray _first_rows

    @cython.locals(number=uint64_t, row=AccountAsset)
    cpdef AccountAsset find(self, uint64_t account_id, uint64_t asset_id)
    @cython.locals(number=Py_ssize_t, place=Py_ssize_t, before=AccountAsset, other=AccountAsset, after=uint32_t)
    cpdef int add(self, uint64_t account_id, uint64_t asset_id, AccountAsset row) except -1
    @cython.locals(number=uint32_t)
    cpdef AccountAsset first_of(self, uint64_t account_id)
    cpdef AccountAsset next_of(self, AccountAsset row)
    cpdef uint64_t accounts_end(self) except? 0


cdef uint64_t _hash(uint64_t account_id, uint64_t asset_id) except? 0xA5A5A5
