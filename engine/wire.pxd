# The compiled form of wire.py: the same functions, inline. Unaligned loads and stores go through memcpy.
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memmove, memset


cdef extern from *:
    """
    #define TALLY_STEP 0x9E3779B97F4A7C15ULL
    static inline unsigned long long tally_mix(unsigned long long a, unsigned long long b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (unsigned long long)(product >> 64) ^ (unsigned long long)product;
    }
    /* The words of a text, the last one filled up with zeros. ``room`` is how many bytes may be read from its start. */
    static inline unsigned long long tally_hash(
        const char *text, Py_ssize_t length, Py_ssize_t room, unsigned long long seed
    ) {
        unsigned long long value = tally_mix(seed ^ (unsigned long long)length, TALLY_STEP), word;
        while (length >= 8) {
            memcpy(&word, text, 8);
            value = tally_mix(value ^ word, TALLY_STEP);
            text += 8;
            length -= 8;
            room -= 8;
        }
        if (length) {
            if (room >= 8) {
                memcpy(&word, text, 8);
                word &= ~0ULL >> (64 - 8 * length);
            } else {
                word = 0;
                for (Py_ssize_t i = 0; i < length; i++) word |= (unsigned long long)(unsigned char)text[i] << (8 * i);
            }
            value = tally_mix(value ^ word, TALLY_STEP);
        }
        return value;
    }
    static inline Py_ssize_t tally_find_word(const char *ring, Py_ssize_t mask, Py_ssize_t place, unsigned int upper) {
        unsigned long long word;
        for (;;) {
            memcpy(&word, ring + 8 * (place & mask), 8);
            if (!word || (unsigned int)(word >> 32) == upper) return place & mask;
            place++;
        }
    }
    static inline Py_ssize_t tally_count_below(const char *words, Py_ssize_t count, long long key) {
        Py_ssize_t low = 0;
        long long word;
        while (count > 0) {
            Py_ssize_t half = count >> 1;
            memcpy(&word, words + 8 * (low + half), 8);
            if (word < key) {
                low += half + 1;
                count -= half + 1;
            } else {
                count = half;
            }
        }
        return low;
    }
    static __attribute__((noinline, cold)) int tally_outside(Py_ssize_t at, Py_ssize_t length, Py_ssize_t size) {
        PyErr_Format(PyExc_IndexError, "%zd bytes at %zd of %zd", length, at, size);
        return -1;
    }
    static inline int tally_check(Py_ssize_t at, Py_ssize_t length, Py_ssize_t size) {
        if (__builtin_expect(at < 0 || length < 0 || at > size - length, 0)) return tally_outside(at, length, size);
        return 0;
    }
    #define tally_prefetch(address) __builtin_prefetch(address)
    """
    void tally_prefetch(const char *address) nogil
    int tally_check(Py_ssize_t at, Py_ssize_t length, Py_ssize_t size) except -1
    uint64_t tally_mix(uint64_t a, uint64_t b) nogil
    uint64_t tally_hash(const char *text, Py_ssize_t length, Py_ssize_t room, uint64_t seed) nogil
    Py_ssize_t tally_find_word(const char *ring, Py_ssize_t mask, Py_ssize_t place, uint32_t upper) nogil
    Py_ssize_t tally_count_below(const char *words, Py_ssize_t count, int64_t key) nogil


cdef inline int check_data(bytes data, Py_ssize_t at, Py_ssize_t length) except -1:
    return tally_check(at, length, PyBytes_GET_SIZE(data))


cdef inline int check_buffer(bytearray buffer, Py_ssize_t at, Py_ssize_t length) except -1:
    return tally_check(at, length, PyByteArray_GET_SIZE(buffer))


cdef inline uint8_t load_u8(bytes data, Py_ssize_t at) except? 0xA5:
    check_data(data, at, 1)
    return <uint8_t>PyBytes_AS_STRING(data)[at]


cdef inline uint16_t load_u16(bytes data, Py_ssize_t at) except? 0xA5A5:
    cdef uint16_t value
    check_data(data, at, 2)
    memcpy(&value, PyBytes_AS_STRING(data) + at, 2)
    return value


cdef inline uint32_t load_u32(bytes data, Py_ssize_t at) except? 0xA5A5A5A5:
    cdef uint32_t value
    check_data(data, at, 4)
    memcpy(&value, PyBytes_AS_STRING(data) + at, 4)
    return value


cdef inline uint64_t load_u64(bytes data, Py_ssize_t at) except? 0xA5A5A5A5A5A5A5A5:
    cdef uint64_t value
    check_data(data, at, 8)
    memcpy(&value, PyBytes_AS_STRING(data) + at, 8)
    return value


cdef inline int64_t load_i64(bytes data, Py_ssize_t at) except? -0x5A5A5A5A5A5A5A5B:
    cdef int64_t value
    check_data(data, at, 8)
    memcpy(&value, PyBytes_AS_STRING(data) + at, 8)
    return value


cdef inline uint8_t get_u8(bytearray buffer, Py_ssize_t at) except? 0xA5:
    check_buffer(buffer, at, 1)
    return <uint8_t>PyByteArray_AS_STRING(buffer)[at]


cdef inline uint16_t get_u16(bytearray buffer, Py_ssize_t at) except? 0xA5A5:
    cdef uint16_t value
    check_buffer(buffer, at, 2)
    memcpy(&value, PyByteArray_AS_STRING(buffer) + at, 2)
    return value


cdef inline uint32_t get_u32(bytearray buffer, Py_ssize_t at) except? 0xA5A5A5A5:
    cdef uint32_t value
    check_buffer(buffer, at, 4)
    memcpy(&value, PyByteArray_AS_STRING(buffer) + at, 4)
    return value


cdef inline uint64_t get_u64(bytearray buffer, Py_ssize_t at) except? 0xA5A5A5A5A5A5A5A5:
    cdef uint64_t value
    check_buffer(buffer, at, 8)
    memcpy(&value, PyByteArray_AS_STRING(buffer) + at, 8)
    return value


cdef inline int64_t get_i64(bytearray buffer, Py_ssize_t at) except? -0x5A5A5A5A5A5A5A5B:
    cdef int64_t value
    check_buffer(buffer, at, 8)
    memcpy(&value, PyByteArray_AS_STRING(buffer) + at, 8)
    return value


cdef inline Py_ssize_t put_u8(bytearray buffer, Py_ssize_t at, uint8_t value) except -1:
    check_buffer(buffer, at, 1)
    PyByteArray_AS_STRING(buffer)[at] = <char>value
    return at + 1


cdef inline Py_ssize_t put_u16(bytearray buffer, Py_ssize_t at, uint16_t value) except -1:
    check_buffer(buffer, at, 2)
    memcpy(PyByteArray_AS_STRING(buffer) + at, &value, 2)
    return at + 2


cdef inline Py_ssize_t put_u32(bytearray buffer, Py_ssize_t at, uint32_t value) except -1:
    check_buffer(buffer, at, 4)
    memcpy(PyByteArray_AS_STRING(buffer) + at, &value, 4)
    return at + 4


cdef inline Py_ssize_t put_u64(bytearray buffer, Py_ssize_t at, uint64_t value) except -1:
    check_buffer(buffer, at, 8)
    memcpy(PyByteArray_AS_STRING(buffer) + at, &value, 8)
    return at + 8


cdef inline Py_ssize_t put_i64(bytearray buffer, Py_ssize_t at, int64_t value) except -1:
    check_buffer(buffer, at, 8)
    memcpy(PyByteArray_AS_STRING(buffer) + at, &value, 8)
    return at + 8


cdef inline Py_ssize_t put_bytes(bytearray buffer, Py_ssize_t at, bytes data, Py_ssize_t start, Py_ssize_t length) except -1:
    check_buffer(buffer, at, length)
    check_data(data, start, length)
    memcpy(PyByteArray_AS_STRING(buffer) + at, PyBytes_AS_STRING(data) + start, length)
    return at + length


cdef inline int move_bytes(
    bytearray buffer, Py_ssize_t at, bytearray source, Py_ssize_t start, Py_ssize_t length
) except -1:
    check_buffer(buffer, at, length)
    check_buffer(source, start, length)
    memcpy(PyByteArray_AS_STRING(buffer) + at, PyByteArray_AS_STRING(source) + start, length)
    return 0


cdef inline bint holds(
    bytearray buffer, Py_ssize_t at, bytes data, Py_ssize_t start, Py_ssize_t length
) except -1:
    check_buffer(buffer, at, length)
    check_data(data, start, length)
    return memcmp(PyByteArray_AS_STRING(buffer) + at, PyBytes_AS_STRING(data) + start, length) == 0


cdef inline uint64_t mix(uint64_t a, uint64_t b) noexcept:
    return tally_mix(a, b)


cdef inline uint64_t hash_text(bytes data, Py_ssize_t start, Py_ssize_t length, uint64_t seed) except? 0xA5A5A5A5A5A5A5A5:
    check_data(data, start, length)
    return tally_hash(PyBytes_AS_STRING(data) + start, length, PyBytes_GET_SIZE(data) - start, seed)


from cpython.bytearray cimport PyByteArray_FromStringAndSize, PyByteArray_Resize


cdef inline uint64_t hash_buffer(bytearray buffer, Py_ssize_t at, Py_ssize_t length, uint64_t seed) except? 0xA5A5A5A5A5A5A5A5:
    check_buffer(buffer, at, length)
    return tally_hash(PyByteArray_AS_STRING(buffer) + at, length, PyByteArray_GET_SIZE(buffer) - at, seed)


cdef inline bint consists_of(bytes data, Py_ssize_t start, Py_ssize_t length, bytes table) except -1:
    cdef const char *entries = PyBytes_AS_STRING(table)
    cdef const char *text
    cdef Py_ssize_t i
    check_data(data, start, length)
    check_data(table, 0, 256)
    text = PyBytes_AS_STRING(data) + start
    for i in range(length):
        if not entries[<uint8_t>text[i]]:
            return False
    return True


cdef inline bytearray new_buffer(Py_ssize_t size):
    return PyByteArray_FromStringAndSize(NULL, size)


cdef inline int grow(bytearray buffer, Py_ssize_t count) except -1:
    if count < 0:
        raise ValueError(f"negative count: {count}")
    PyByteArray_Resize(buffer, PyByteArray_GET_SIZE(buffer) + count)
    return 0


cdef inline int prefetch(bytearray buffer, Py_ssize_t at) except -1:
    check_buffer(buffer, at, 1)
    tally_prefetch(PyByteArray_AS_STRING(buffer) + at)
    return 0


cdef inline bytes bytes_of(bytearray buffer, Py_ssize_t length):
    check_buffer(buffer, 0, length)
    return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(buffer), length)


cdef inline int clear(bytearray buffer) except -1:
    memset(PyByteArray_AS_STRING(buffer), 0, PyByteArray_GET_SIZE(buffer))
    return 0


cdef inline Py_ssize_t find_word(
    bytearray buffer, Py_ssize_t start, Py_ssize_t mask, Py_ssize_t place, uint32_t upper
) except -1:
    check_buffer(buffer, start, 8 * (mask + 1))
    return tally_find_word(PyByteArray_AS_STRING(buffer) + start, mask, place, upper)


cdef inline Py_ssize_t count_below(bytearray buffer, Py_ssize_t count, int64_t key) except -1:
    check_buffer(buffer, 0, 8 * count)
    return tally_count_below(PyByteArray_AS_STRING(buffer), count, key)


cdef inline int insert_word(bytearray buffer, Py_ssize_t count, Py_ssize_t place, int64_t value) except -1:
    cdef char *words = PyByteArray_AS_STRING(buffer)
    check_buffer(buffer, 0, 8 * (count + 1))
    check_buffer(buffer, 8 * place, 8 * (count - place))
    memmove(words + 8 * (place + 1), words + 8 * place, 8 * (count - place))
    memcpy(words + 8 * place, &value, 8)
    return 0


cdef inline int remove_word(bytearray buffer, Py_ssize_t count, Py_ssize_t place) except -1:
    cdef char *words = PyByteArray_AS_STRING(buffer)
    check_buffer(buffer, 0, 8 * count)
    check_buffer(buffer, 8 * place, 8 * (count - place))
    memmove(words + 8 * place, words + 8 * (place + 1), 8 * (count - place - 1))
    return 0
