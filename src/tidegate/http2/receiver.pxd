cimport cython

from tidegate.http.head cimport RequestHead, ResponseHead
from tidegate.http.stream cimport StreamHandler
from tidegate.http2.frames cimport encode_frame, encode_reset, encode_window_update
from tidegate.http2.hpack cimport Decoder
from tidegate.http2.limits cimport H2Limits
from tidegate.http2.priority cimport parse_priority
from tidegate.http2.reader cimport FrameReader
from tidegate.http2.request cimport RequestReader, list_size, receive_trailers
from tidegate.http2.sender cimport SendingStream
from tidegate.http2.stream cimport H2Stream
from tidegate.http2.streams cimport StreamTable

cdef double NEVER, UNSET
cdef int RECV_HEADERS, RECV_DATA, RECV_END, RECV_RESET, RECV_WINDOW
cdef int CLOSED_STREAM, HALF_CLOSED_REMOTE, RESERVED
cdef int PUSH_PROMISE
cdef Py_ssize_t MAX_WINDOW, MAX_AT_ONCE, USE_OF_REQUEST, USE_OF_DATA
cdef int SERVING, DRAINING, LEAVING


cdef class FrameReceiver(StreamTable):
    cdef H2Limits _limits
    cdef object _open_handler
    cdef object _request_refused
    cdef FrameReader _reader
    cdef Decoder _decoder
    cdef RequestReader _requests
    cdef int _state
    cdef bint _settings_acknowledged
    cdef list _starting
    cdef Py_ssize_t _opened
    cdef Py_ssize_t _receive_window
    cdef Py_ssize_t _overshoot
    cdef Py_ssize_t _served_id
    cdef Py_ssize_t _credit
    cdef Py_ssize_t _grown
    cdef dict _early_priorities
    cdef Py_ssize_t _pushed
    cdef double _ping_since
    cdef bint _peer_going

    @cython.locals(fields=list, limits=H2Limits, count=Py_ssize_t)
    cpdef void headers_received(
        self, Py_ssize_t stream_id, bytes block, bint end_stream, Py_ssize_t depends_on
    ) except *
    cpdef void open_upgraded(self, RequestHead request) except *
    @cython.locals(limits=H2Limits, head=RequestHead)
    cdef void _open_stream(self, Py_ssize_t stream_id, list fields, bint end_stream) except *
    @cython.locals(stream=H2Stream, handler=StreamHandler)
    cdef void _open_request(self, Py_ssize_t stream_id, RequestHead head, bint end_stream) except *
    @cython.locals(stream=H2Stream)
    cdef H2Stream _make_stream(self, Py_ssize_t stream_id, RequestHead head)
    @cython.locals(handler=StreamHandler)
    cdef void _start(self, H2Stream stream) except *
    cdef void _prioritise(self, H2Stream stream) except *
    @cython.locals(stream=H2Stream)
    cdef void _refuse_unopened(
        self, Py_ssize_t stream_id, list fields, RequestHead head, bint end_stream, object error
    ) except *
    @cython.locals(head=ResponseHead, content=bytes)
    cdef void _answer_error(self, H2Stream stream, object error) except *
    @cython.locals(handler=StreamHandler)
    cpdef void refuse(self, H2Stream stream, object error) except *
    @cython.locals(stream=H2Stream)
    cdef void _trailers_received(self, Py_ssize_t stream_id, list fields, bint end_stream) except *
    @cython.locals(stream=H2Stream, size=Py_ssize_t)
    cpdef void data_received(self, Py_ssize_t stream_id, bytes data, Py_ssize_t octets, bint end_stream) except *
    cdef void _content_received(self, H2Stream stream, bytes data, Py_ssize_t size) except *
    @cython.locals(handler=StreamHandler)
    cdef void _end_request(self, H2Stream stream, list trailers) except *
    @cython.locals(limits=H2Limits, growth=Py_ssize_t)
    cdef void _give_credit(self, H2Stream stream, Py_ssize_t octets) except *
    @cython.locals(known=H2Stream)
    cpdef void resume_stream(self, SendingStream stream) except *
    @cython.locals(stream=H2Stream, handler=StreamHandler)
    cpdef void reset_received(self, Py_ssize_t stream_id) except *
    @cython.locals(stream=H2Stream)
    cpdef void window_update_received(self, Py_ssize_t stream_id, Py_ssize_t increment) except *
    cpdef void settings_received(self, bytes payload) except *
    @cython.locals(before=Py_ssize_t, change=Py_ssize_t, stream=H2Stream)
    cpdef void take_settings(self, bytes payload) except *
    cpdef void refuse_streams(self) except *
    @cython.locals(early=dict, count=Py_ssize_t)
    cdef void _keep_priority(self, Py_ssize_t stream_id, bytes value) except *
    @cython.locals(parent=H2Stream, pushed=H2Stream, head=RequestHead, handler=StreamHandler, promised=Py_ssize_t)
    cpdef void push(self, SendingStream stream, bytes path, list fields) except *
