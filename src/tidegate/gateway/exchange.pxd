cimport cython

from tidegate.gateway.application cimport Exchange, Gateway
from tidegate.gateway.awaitable cimport Receiver, Waiter
from tidegate.gateway.scope cimport Peers
from tidegate.http.fields cimport checked_field, response_fields
from tidegate.http.head cimport RequestHead, ResponseHead
from tidegate.http.stream cimport Stream

cdef int EXPECT_START, HELD, STREAMING, EXPECT_TRAILERS, COMPLETE, GONE
cdef int START, BODY, PATHSEND, ZEROCOPYSEND, EARLY_HINT, PUSH
cdef int GO, IGNORE, TELL
cdef int COLUMNS
cdef bytes ACTIONS
cdef dict MESSAGES
cdef Py_ssize_t MAX_WITHOUT_YIELD, SMALL_PIECE, MAX_JOINED
cdef object perf_counter


cdef class HTTPExchange(Exchange):
    cdef int _response
    cdef ResponseHead _head
    cdef list _trailers
    cdef Py_ssize_t _content_left
    cdef object _chunks
    cdef Py_ssize_t _buffered
    cdef bint _ended
    cdef bint _delivered_end
    cdef bint _disconnected, _told
    cdef bint _reading_paused
    cdef Py_ssize_t _due
    cdef public Py_ssize_t body_sent

    @cython.locals(size=Py_ssize_t)
    cpdef void data_received(self, bytes data) except *
    cdef bint _joined(self, bytes data, Py_ssize_t size) except -1
    @cython.locals(gateway=Gateway, request=RequestHead, extensions=dict)
    cpdef object call_application(self, object app)
    @cython.locals(state=int, gone=bint)
    cpdef void application_ended(self, object error) except *
    @cython.locals(head=ResponseHead, content=bytes)
    cdef void _answer_500(self) except *
    @cython.locals(more=bint)
    cpdef dict take_message(self)
    cpdef Waiter new_waiter(self)
    @cython.locals(kind=int, state=int, action=int, table="const unsigned char *", checked=dict)
    cpdef object send(self, object message)
    cpdef bint may_send(self) except *
    @cython.locals(head=ResponseHead)
    cdef void _take_start(self, dict message) except *
    @cython.locals(more=bint)
    cdef void _take_body(self, dict message) except *
    @cython.locals(end=bint)
    cdef void _send_body(self, bytes data, bint more) except *
    @cython.locals(head=ResponseHead, left=Py_ssize_t)
    cdef void _check_length(self, Py_ssize_t size, bint more) except *
    @cython.locals(status=int)
    cdef Py_ssize_t _expected_length(self, ResponseHead head) except? -9
    @cython.locals(head=ResponseHead)
    cdef bint _begin_content(self, Py_ssize_t size, bint more) except? -1
    cdef void _take_path(self, dict message) except *
    cdef void _take_file(self, dict message) except *
    @cython.locals(start=Py_ssize_t, size=Py_ssize_t, end=bint)
    cdef void _send_descriptor(self, int descriptor, object offset, object count, bint more) except *
    cdef void _take_early_hint(self, dict message) except *
    cdef void _take_push(self, dict message) except *
    cdef void _take_trailers(self, dict message) except *
    cdef void _finish(self) except *
