cimport cython

from tidegate.http.stream cimport Wire

cdef double TICK, NEVER
cdef Py_ssize_t NOT_SCHEDULED


cdef class TimedWire(Wire):
    cdef public Py_ssize_t due

    cpdef void timeout_due(self, double now) except *


cdef class TimerWheel:
    cdef object _loop
    cdef dict _buckets
    cdef object _handle
    cdef Py_ssize_t _index
    cdef readonly double now

    @cython.locals(index=Py_ssize_t, later=Py_ssize_t, bucket=set)
    cpdef void schedule(self, TimedWire entry, double when) except *

    @cython.locals(bucket=set)
    cpdef void cancel(self, TimedWire entry) except *

    @cython.locals(last=Py_ssize_t, index=Py_ssize_t, entry=TimedWire)
    cpdef void _tick(self) except *
