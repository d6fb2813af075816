cimport cython
from libc.stdint cimport uint32_t, uint64_t

from engine cimport wire
from engine.hash_index cimport HashIndex

cdef int _CHUNK_BITS, _HASH_SHIFT, _KEY, _USED, _HEADER_SIZE, _PLACE_SIZE
cdef uint64_t _CHUNK_MASK, _SPREAD


@cython.final
cdef class NumberIndex:
    cdef list _chunks
    cdef list _free
    cdef HashIndex _index
    cdef uint64_t _last
    cdef uint64_t _last_key
    cdef Py_ssize_t _length

    @cython.locals(chunk=uint64_t, places=bytearray)
    cpdef uint32_t find(self, uint64_t number) except? 0xA5A5A5A5
    @cython.locals(key=uint64_t, found=uint64_t, chunk=bytearray)
    cpdef int add(self, uint64_t number, uint32_t value) except -1
    @cython.locals(found=uint64_t, places=bytearray)
    cpdef int replace(self, uint64_t number, uint32_t value) except -1
    @cython.locals(key=uint64_t, found=uint64_t, chunk=bytearray, used=uint32_t)
    cpdef int remove(self, uint64_t number) except -1
    @cython.locals(found=uint64_t)
    cdef uint64_t _chunk_of(self, uint64_t key) except? 0xA5A5A5A5A5A5A5A5
    @cython.locals(found=uint64_t)
    cdef uint64_t _new_chunk(self, uint64_t key) except? 0xA5A5A5A5A5A5A5A5
