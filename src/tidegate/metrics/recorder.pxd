cimport cython

from tidegate.gateway.exchange cimport HTTPExchange
from tidegate.http.head cimport RequestHead

cdef double RARELY, OFTEN, FIRST_BUCKET
cdef int REQUESTS, QUEUE, FIRST_BYTE, DURATION, RECEIVED, SENT, OPENED, CLOSED
cdef int PER_STATUS, BUCKETS, GONE, DISCONNECT, ERRORS
cdef dict METHODS, PROTOCOLS


cdef class Recorder:
    cdef object _region
    cdef long long[::1] _integers
    cdef double[::1] _reals
    cdef double _ask_at
    cdef double _waited
    cdef public double late
    cdef public double late_at
    cdef public dict websockets

    cpdef void received(self, Py_ssize_t octets) except *
    cpdef void sent(self, Py_ssize_t octets) except *
    cpdef void connection_opened(self) except *
    cpdef void connection_closed(self) except *
    @cython.locals(now=double)
    cpdef void request_opened(self, object transport) except *
    cpdef void queued(self, double seconds) except *
    cdef void _ask(self, object transport, double now) except *
    cpdef object completed(self, object exchange)
    @cython.locals(begun=double, first=double, status=int)
    cdef void _completed(self, HTTPExchange exchange) except *
    @cython.locals(methods=dict, protocols=dict, cell=Py_ssize_t, kind=int)
    cdef void _count(self, RequestHead request, int status) except *
    cdef void _error(self, int kind) except *
    @cython.locals(bucket=int, bound=double)
    cdef void _observe(self, int cell, double seconds) except *
