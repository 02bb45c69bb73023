cimport cython

from tidegate.gateway.application cimport Exchange, Gateway
from tidegate.gateway.exchange cimport HTTPExchange
from tidegate.http.head cimport RequestHead
from tidegate.metrics.recorder cimport Recorder
from tidegate.net.tcp cimport TCPProtocol


cdef class MeasuredProtocol(TCPProtocol):
    cdef Recorder _recorder
    cdef Py_ssize_t _counted

    cpdef object connection_made(self, object transport)
    @cython.locals(written=Py_ssize_t)
    cpdef object data_received(self, bytes data)
    @cython.locals(opened=Exchange, exchange=HTTPExchange, now=double)
    cpdef object open_handler(self, object stream, RequestHead head)
    @cython.locals(written=Py_ssize_t)
    cpdef void count_sent(self) except *


cdef class MeasuredGateway(Gateway):
    cdef readonly Recorder recorder
