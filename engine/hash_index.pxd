cimport cython
from libc.stdint cimport uint32_t, uint64_t

from engine cimport wire

cdef int SLOTS_RESERVED, SLOTS_RESTORED
cdef int _HASH_BITS, _SLOTS, _SLOT_MASK, _SLOTS_USED_MAX, _SLOT_SIZE, _USED, _DEPTH, _HEADER_SIZE, _BUCKET_SIZE
cdef uint64_t _NUMBER_MASK


@cython.final
cdef class HashIndex:
    cdef list _directory
    cdef int _depth
    cdef Py_ssize_t _length
    cdef int _shift
    cdef Py_ssize_t _slot
    cdef uint64_t _hash
    cdef list _spare

    cpdef int prefetch(self, uint64_t hashed) except -1
    @cython.locals(bucket=bytearray)
    cpdef uint64_t first(self, uint64_t hashed) except? 1
    @cython.locals(bucket=bytearray)
    cpdef uint64_t next(self) except? 1
    @cython.locals(bucket=bytearray)
    cpdef int add(self, uint64_t hashed, uint64_t number) except -1
    cpdef int replace(self, uint64_t hashed, uint64_t number, uint64_t new_number) except -1
    @cython.locals(bucket=bytearray, hole=Py_ssize_t, slot=Py_ssize_t, word=uint64_t, home=Py_ssize_t)
    cpdef int remove(self, uint64_t hashed, uint64_t number) except -1
    @cython.locals(found=uint64_t)
    cdef bytearray _find(self, uint64_t hashed, uint64_t number)
    @cython.locals(
        depth=int, lower=bytearray, upper=bytearray, bit=int, slot=Py_ssize_t, word=uint64_t,
        span=Py_ssize_t, start=Py_ssize_t, position=Py_ssize_t,
    )
    cdef int _split(self, uint64_t hashed, bytearray bucket) except -1
    @cython.locals(bucket=bytearray)
    cdef bytearray _new_bucket(self)


@cython.locals(slot=Py_ssize_t)
cdef int _insert(bytearray bucket, uint64_t word) except -1
