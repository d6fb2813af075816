cimport cython
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from engine cimport wire
from engine.arena cimport Arena
from engine.hash_index cimport HashIndex

cdef int ID_LENGTH_MAX
cdef int64_t REQUEST_MEMORY_NS
cdef bytes _IS_ID_CHARACTER
cdef int _SEQUENCE, _REMEMBERED_AT, _SUBJECT, _ACCOUNT, _REASON, _KIND, _CONTENT_LENGTH, _ID_LENGTH, _HEADER_SIZE
cdef int _STORED_ID_LENGTH_MAX, _CONTENT_LENGTH_MAX
cdef int UNIT, SEGMENT_SHIFT, _SEGMENTS_MAX, _USUAL_SIZE
cdef uint64_t _ACCOUNT_ID_MAX, UNIT_MASK, SECOND_LEG
cdef int _INDEX_SHIFT, _READ_AHEAD, _PAIR_SIZE, _REFERENCE, SLOTS_RESTORED


cpdef bint is_valid_id(bytes text) except -1
cpdef bint id_is_valid_at(bytes data, Py_ssize_t start, Py_ssize_t length) except -1


@cython.final
cdef class Receipts:
    cdef uint64_t _hash_key
    cdef HashIndex _index
    cdef readonly Arena arena
    cdef list _segments
    cdef uint64_t _head
    cdef int64_t _head_at_ns

    cpdef uint64_t hash_of(self, uint64_t account_id, bytes data, Py_ssize_t start, Py_ssize_t length) except? 0xA5A5A5
    cpdef int prefetch(self, uint64_t hashed) except -1
    cpdef uint64_t find(self, uint64_t account_id, bytes data, Py_ssize_t start, Py_ssize_t length) except? 1
    @cython.locals(reference=uint64_t, segment=bytearray, at=Py_ssize_t)
    cpdef uint64_t find_hashed(
        self, uint64_t hashed, uint64_t account_id, bytes data, Py_ssize_t start, Py_ssize_t length
    ) except? 1
    @cython.locals(hashed=uint64_t)
    cpdef uint64_t remember(
        self, uint64_t account_id, bytes data, Py_ssize_t start, Py_ssize_t length, uint16_t kind,
        Py_ssize_t content_start, Py_ssize_t content_length, uint64_t sequence, int64_t timestamp_ns
    ) except 0
    @cython.locals(reference=uint64_t, segment=bytearray, at=Py_ssize_t)
    cpdef uint64_t remember_hashed(
        self, uint64_t hashed, uint64_t account_id, bytes data, Py_ssize_t start, Py_ssize_t length, uint16_t kind,
        Py_ssize_t content_start, Py_ssize_t content_length, uint64_t sequence, int64_t timestamp_ns
    ) except 0
    @cython.locals(segment=bytearray, at=Py_ssize_t)
    cpdef int settle(self, uint64_t reference, uint16_t reason, uint64_t subject_id) except -1

    @cython.locals(segment=bytearray, at=Py_ssize_t, subject_id=uint64_t)
    cpdef uint64_t order_id(self, uint64_t reference) except? 0xA5A5A5A5A5A5A5A5
    cpdef uint64_t account_id(self, uint64_t reference) except? 0xA5A5A5A5A5A5A5A5
    cpdef uint16_t kind(self, uint64_t reference) except? 0xA5A5
    cpdef uint64_t sequence(self, uint64_t reference) except? 0xA5A5A5A5A5A5A5A5
    cpdef uint16_t reason(self, uint64_t reference) except? 0xA5A5
    cpdef uint64_t subject_id(self, uint64_t reference) except? 0xA5A5A5A5A5A5A5A5
    @cython.locals(segment=bytearray, at=Py_ssize_t)
    cpdef int64_t remembered_at_ns(self, uint64_t reference) except? -0x5A5A5A5A5A5A5A5B
    @cython.locals(segment=bytearray, at=Py_ssize_t, start=Py_ssize_t)
    cpdef bytes request_id(self, uint64_t reference)
    @cython.locals(segment=bytearray, at=Py_ssize_t, start=Py_ssize_t)
    cpdef bytes content(self, uint64_t reference)
    @cython.locals(segment=bytearray, at=Py_ssize_t, content_at=Py_ssize_t)
    cpdef bint asks_the_same(
        self, uint64_t reference, uint16_t kind, bytes data, Py_ssize_t content_start, Py_ssize_t content_length
    ) except -1

    cpdef uint64_t oldest(self) except? 1
    cpdef uint64_t oldest_due(self, int64_t now_ns) except? 1
    cpdef int forget_oldest(self) except -1
    @cython.locals(
        old_reference=uint64_t, old=bytearray, old_at=Py_ssize_t, size=Py_ssize_t,
        reference=uint64_t, segment=bytearray, at=Py_ssize_t,
    )
    cpdef uint64_t keep_oldest(self, int64_t now_ns) except 0
    @cython.locals(reference=uint64_t)
    cpdef list in_queue_order(self)

    @cython.locals(segment=bytearray, at=Py_ssize_t)
    cpdef uint64_t after(self, uint64_t reference) except? 1
    cdef int _drop_oldest(self) except -1

    @cython.locals(
        count=Py_ssize_t, reference=uint64_t, fetched=bytearray, ahead=uint64_t, hashed=uint64_t,
        place=Py_ssize_t, slot=Py_ssize_t,
    )
    cpdef int read_arena(self) except -1
    @cython.locals(segment=bytearray, at=Py_ssize_t, seed=uint64_t, length=Py_ssize_t)
    cdef uint64_t _hash_of(self, uint64_t reference) except? 0xA5A5A5A5A5A5A5A5


cdef Py_ssize_t _size(bytearray segment, Py_ssize_t at) except -1
cdef bint _has_id(bytearray segment, Py_ssize_t at, bytes data, Py_ssize_t start, Py_ssize_t length) except -1
