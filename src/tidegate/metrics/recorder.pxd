cimport cython

from tidegate.gateway.exchange cimport HTTPExchange
from tidegate.http.head cimport RequestHead

cdef double PAUSE, RARELY, OFTEN, TICKS, FIRST_BUCKET
cdef int REQUESTS, QUEUE, FIRST_BYTE, DURATION, RECEIVED, SENT, OPENED, CLOSED
cdef int STATUSES, VERSIONS, OTHER_METHOD, OTHER_PROTOCOL, BUCKETS, GONE, DISCONNECT, ERRORS
cdef dict METHODS, PROTOCOLS
cdef str HTTP_1_1
cdef object perf_counter


@cython.final
cdef class Recorder:
    cdef object _region
    cdef long long[::1] _integers
    cdef double[::1] _reals
    cdef double _ask_at
    cdef double _ask_not_before
    cdef double _opened_at
    cdef double _completed_at
    cdef double _waited
    cdef public double due
    cdef public double late
    cdef public double late_at
    cdef public dict websockets

    cpdef void moved(self, Py_ssize_t received, Py_ssize_t sent) except *
    cpdef void connection_opened(self) except *
    cpdef void connection_closed(self) except *
    @cython.locals(now=double)
    cpdef double request_opened(self, object transport) except? -1
    cpdef void queued(self, double seconds) except *
    cdef void _ask(self, object transport, double now) except *
    @cython.locals(begun=double, first=double, ended=double, status=int)
    cdef void _completed(self, HTTPExchange exchange) except *
    @cython.locals(name=str, version=str, method=int, protocol=int, kind=int)
    cdef void _count(self, RequestHead request, int status) except *
    cdef void _error(self, int kind) except *
    @cython.locals(bucket=int, bound=double)
    cdef void _observe(self, int cell, double seconds) except *
