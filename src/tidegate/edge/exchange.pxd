cimport cython

from tidegate.edge.policy cimport Policy
from tidegate.gateway.application cimport ApplicationCall, Exchange, Gateway
from tidegate.gateway.exchange cimport HTTPExchange
from tidegate.http.head cimport RequestHead, ResponseHead

cdef int HELD, STREAMING, COMPLETE, GONE
cdef int CACHEABLE
cdef Py_ssize_t LARGE, COPY_SIZE, UNKNOWN_LENGTH
cdef dict REASONS


cdef class EdgeExchange(HTTPExchange):
    cdef Policy _policy
    cdef bint _pending
    cdef Py_ssize_t _received
    cdef bint _refused
    cdef object _timer
    cdef str _coding
    cdef object _compressor
    cdef bint _unflushed
    cdef Py_ssize_t _identity_left
    cdef bytes _encoded
    cdef bint _encoding
    cdef object _turn

    @cython.locals(policy=Policy)
    cpdef void start(self) except *
    cpdef void discarded(self) except *
    @cython.locals(limit=Py_ssize_t)
    cpdef void data_received(self, bytes data) except *
    cdef void _refuse(self, int status) except *
    cdef void _cut(self) except *
    cdef void _finish(self) except *
    cpdef void application_ended(self, object error) except *
    cpdef void step_ended(self) except *
    cpdef object send(self, object message)
    @cython.locals(head=ResponseHead, policy=Policy)
    cdef void _take_start(self, dict message) except *
    @cython.locals(left=Py_ssize_t)
    cdef void _check_length(self, Py_ssize_t size, bint more) except *
    @cython.locals(head=ResponseHead)
    cdef void _begin_encoding(self, str coding) except *
    @cython.locals(head=ResponseHead, size=Py_ssize_t)
    cdef void _send_body(self, bytes data, bint more) except *
    cdef void _encode_head(self, ResponseHead head, str coding, Py_ssize_t size) except *
    cdef void _drop_coding(self) except *
    cdef void _send_descriptor(self, int descriptor, object offset, object count, bint more) except *
