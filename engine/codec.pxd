cimport cython

from engine cimport wire

cdef Py_ssize_t _RECORD_LENGTH_MAX, _COMMAND_HEADER_SIZE, _LENGTH_OFFSET
cdef int _KINDS_END, _EVENT_KINDS_END, _EVENT_HEADER_SIZE
cdef bytes _SIZES, _TEXTS, _EVENT_SIZES


@cython.locals(position=Py_ssize_t, count=Py_ssize_t, length_in_all=Py_ssize_t, end=Py_ssize_t)
cpdef Py_ssize_t check_commands(bytes data) except -1
@cython.locals(kind=int, length=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t, text=Py_ssize_t, _=int)
cdef Py_ssize_t _end_of_command(bytes data, Py_ssize_t position, Py_ssize_t length_in_all) except -1
@cython.locals(length_in_all=Py_ssize_t, kind=int, length=Py_ssize_t)
cdef Py_ssize_t _skip_events(bytes data, Py_ssize_t position, bytes kinds) except -1
