cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine cimport wire
from engine.account_assets cimport AccountAsset, AccountAssets

cdef int64_t AMOUNT_MAX, NS_PER_DAY, VOLUME_DAYS, _NO_DAY
cdef uint64_t _SUM_MAX
cdef Py_ssize_t _UNITS, _EARLIER_DAY_SIZE, _ROW_SIZE


@cython.final
cdef class Volume(AccountAsset):
    cdef readonly int64_t day
    cdef readonly int64_t units
    cdef readonly bytes earlier
    cdef int64_t sum_day
    cdef uint64_t sum_units


@cython.final
cdef class Volumes:
    cdef AccountAssets _volumes

    @cython.locals(volume=Volume, day=int64_t)
    cpdef int add(self, uint64_t account_id, uint64_t asset_id, int64_t timestamp_ns, int64_t notional_units) except -1
    @cython.locals(volume=Volume, today=int64_t)
    cpdef uint64_t last_30_days(self, uint64_t account_id, uint64_t asset_id, int64_t timestamp_ns) except? 0
    @cython.locals(volume=AccountAsset)
    cdef Volume _find(self, uint64_t account_id, uint64_t asset_id)
    @cython.locals(volume=Volume)
    cdef Volume _volume(self, uint64_t account_id, uint64_t asset_id)
    @cython.locals(first_day=int64_t, size=Py_ssize_t, account_id=uint64_t, volume=AccountAsset)
    cpdef Py_ssize_t append_rows(self, int64_t timestamp_ns, bytearray out) except -1


@cython.locals(place=Py_ssize_t, day=int64_t)
cdef int _append_days(Volume volume, uint64_t account_id, int64_t first_day, bytearray out) except -1
@cython.locals(at=Py_ssize_t)
cdef int _append_row(bytearray out, uint64_t account_id, uint32_t asset_id, uint32_t day, int64_t units) except -1
@cython.locals(earlier=bytes, start=Py_ssize_t)
cdef int _begin_day(Volume volume, int64_t day) except -1
@cython.locals(first_day=int64_t, total=uint64_t, place=Py_ssize_t)
cdef uint64_t _sum_before(Volume volume, int64_t today) except? 0
