cimport cython

from tidegate.gateway.application cimport Gateway
from tidegate.http.head cimport RequestHead
from tidegate.metrics.recorder cimport Recorder
from tidegate.net.tcp cimport TCPProtocol


cdef class MeasuredProtocol(TCPProtocol):
    cdef Recorder _recorder
    cdef Py_ssize_t _counted

    cpdef object connection_made(self, object transport)
    cpdef object data_received(self, bytes data)
    cpdef object open_handler(self, object stream, RequestHead head)
    cpdef void timeout_due(self, double now) except *
    cpdef void write(self, bytes data) except *
    cpdef void send_file(self, bytes data, int descriptor, Py_ssize_t offset, Py_ssize_t count) except *
    cdef void _end_file(self) except *
    @cython.locals(written=Py_ssize_t)
    cdef void _count_sent(self) except *


cdef class MeasuredGateway(Gateway):
    cdef readonly Recorder recorder
