cimport cython

from tidegate.gateway.application cimport Gateway
from tidegate.gateway.exchange cimport HTTPExchange
from tidegate.gateway.scope cimport Peers
from tidegate.http.head cimport RequestHead, ResponseHead
from tidegate.http.stream cimport Stream

cdef dict REASONS


cdef class EdgeAnswer(HTTPExchange):
    cdef int _status
    cdef list _fields

    @cython.locals(stream=Stream)
    cpdef void start(self) except *
    cpdef void answer(self) except *
    @cython.locals(head=ResponseHead, content=bytes)
    cdef void _send_status(self, int status, list fields) except *
    @cython.locals(end=bint)
    cdef void _send_whole(self, ResponseHead head, bytes content) except *
