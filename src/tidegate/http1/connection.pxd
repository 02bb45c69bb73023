cimport cython

from tidegate.http.head cimport RequestHead
from tidegate.http.stream cimport StreamHandler, Wire
from tidegate.http1.body cimport ChunkedDecoder
from tidegate.http1.encoder cimport encode_error
from tidegate.http1.limits cimport H1Limits
from tidegate.http1.parser cimport HeadParser
from tidegate.http1.sender cimport H1Sender
from tidegate.http1.stream cimport H1Stream

cdef double NEVER, UNSET
cdef int IDLE, HEAD, CONTENT, COMPLETE, TUNNEL, CLOSED
cdef int HEAD_STARTED, HEAD_RECEIVED, END_RECEIVED, NEXT_REQUEST, SWITCHED, STOPPED
cdef int COLUMNS, BAD
cdef bytes RECEIVING


cdef class H1Connection(H1Sender):
    cdef H1Limits _limits
    cdef object _open_handler
    cdef object _request_refused
    cdef HeadParser _parser
    cdef ChunkedDecoder _decoder
    cdef int _state
    cdef H1Stream _stream
    cdef StreamHandler _handler
    cdef list _pending
    cdef Py_ssize_t _pending_start
    cdef Py_ssize_t _pending_size
    cdef bint _pending_full
    cdef Py_ssize_t _pending_heads
    cdef bint _chunked
    cdef Py_ssize_t _content_left
    cdef Py_ssize_t _content_received
    cdef Py_ssize_t _drain_left
    cdef bint _excess
    cdef double _idle_since
    cdef double _idle_timeout
    cdef double _window_since
    cdef Py_ssize_t _window_octets
    cdef bint _reading_paused
    cdef bint _writing_paused
    cdef bint _peer_closed

    cpdef void receive_data(self, bytes data, double now) except *
    cpdef void receive_eof(self, double now) except *
    cpdef void connection_lost(self) except *
    cpdef void pause_writing(self) except *
    cpdef void resume_writing(self) except *
    cpdef void shutdown(self, double now) except *
    cpdef void cut(self) except *

    @cython.locals(limits=H1Limits)
    cpdef double next_timeout(self) except *
    @cython.locals(limits=H1Limits)
    cpdef void handle_timeout(self, double now) except *
    cdef void _timeout_changed(self) except *
    @cython.locals(stream=H1Stream)
    cdef bint _clock_runs(self) except *

    @cython.locals(table="const unsigned char *", after=int)
    cdef void _advance(self, int event) except *
    @cython.locals(i=Py_ssize_t, n=Py_ssize_t, opened=Py_ssize_t)
    cdef void _receive(self, bytes data, Py_ssize_t start, double now) except *
    @cython.locals(head=RequestHead, length=Py_ssize_t, stream=H1Stream, handler=StreamHandler)
    cdef Py_ssize_t _open_stream(self, bytes data, Py_ssize_t i) except? -9
    @cython.locals(start=Py_ssize_t, n=Py_ssize_t, decoder=ChunkedDecoder, chunks=list, chunk=bytes)
    cdef Py_ssize_t _receive_content(self, bytes data, Py_ssize_t i) except? -9
    @cython.locals(handler=StreamHandler)
    cdef void _input_ended(self) except *
    @cython.locals(stream=H1Stream)
    cdef void _deliver(self, bytes data) except *
    cdef void _end_content(self, list trailers) except *
    @cython.locals(full=bint)
    cdef void _keep_pending(self, bytes data, Py_ssize_t start) except *
    @cython.locals(pending=list)
    cdef bytes _take_pending(self)
    @cython.locals(data=bytes)
    cdef void _receive_pending(self) except *
    @cython.locals(stream=H1Stream, handler=StreamHandler)
    cdef void _refuse(self, object error, RequestHead head) except *
    @cython.locals(stream=H1Stream, handler=StreamHandler)
    cdef void _cut_stream(self) except *
    cdef void _close(self, bint linger) except *
    @cython.locals(stream=H1Stream)
    cpdef void stream_ended(self, bint keep_alive) except *
    cdef void _next_request(self) except *
    cpdef void flush_due(self) except *
