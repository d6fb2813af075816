from libc.stdint cimport uint64_t

from engine.ledger cimport Ledger
from engine.registry cimport Registry


cdef class Withdrawals:
    cdef object _rules
    cdef Registry _registry
    cdef Ledger _ledger
    cdef dict _withdrawals
    cdef list _by_reference

    cpdef bint has_references(self, uint64_t account_id) except -1
    cpdef uint64_t number_of(self, uint64_t account_id, bytes reference) except? 0
    cdef object _find(self, uint64_t account_id, bytes reference)
