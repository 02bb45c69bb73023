cimport cython

from tidegate.http.stream cimport Wire
from tidegate.http1.stream cimport StreamOwner

cdef Py_ssize_t MAX_HELD, MAX_JOINED


cdef class H1Sender(StreamOwner):
    cdef Wire _wire
    cdef bytes _first
    cdef list _rest
    cdef Py_ssize_t _out_size
    cdef bint _receiving
    cdef bint _pipelining

    cdef void _drop_out(self) except *
    @cython.locals(first=bytes, rest=list, size=Py_ssize_t, data=bytes)
    cdef void _write_out(self) except *
