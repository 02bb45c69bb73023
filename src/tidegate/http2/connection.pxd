cimport cython

from tidegate.http.head cimport RequestHead
from tidegate.http.stream cimport StreamHandler
from tidegate.http2.frames cimport encode_frame, encode_goaway, encode_window_update
from tidegate.http2.limits cimport H2Limits
from tidegate.http2.reader cimport FrameReader
from tidegate.http2.receiver cimport FrameReceiver
from tidegate.http2.stream cimport H2Stream

cdef double NEVER, REST_OF_REQUEST, UNSET
cdef int SERVING, DRAINING, LEAVING, ENDED
cdef int OPEN_STREAM, HALF_CLOSED_REMOTE, HALF_CLOSED_LOCAL, CLOSED_STREAM
cdef Py_ssize_t MAX_UNREAD_FRAMES


cdef class H2Connection(FrameReceiver):
    cdef double _began
    cdef Py_ssize_t _frames_seen
    cdef double _block_since
    cdef list _backlog
    cdef Py_ssize_t _backlog_size
    cdef bint _reading_stopped
    cdef Py_ssize_t _unread
    cdef double _idle_since
    cdef double _streams_due
    cdef double _shutdown_since
    cdef bint _peer_closed

    cdef object _send_preface(self)
    cpdef void upgrade(self, RequestHead request) except *
    @cython.locals(reader=FrameReader, i=Py_ssize_t)
    cdef void _receive(self, bytes data) except *
    @cython.locals(starting=list, stream=H2Stream)
    cdef void _start_handlers(self) except *
    @cython.locals(reader=FrameReader)
    cdef void _watch_block(self) except *
    @cython.locals(stop=bint)
    cdef void _set_reading(self) except *
    @cython.locals(stream=H2Stream, handler=StreamHandler)
    cdef void _input_ended(self) except *
    cdef void _end_if_done(self, double now) except *
    cdef void _close(self, bint linger) except *
    cdef void _fail(self, object error) except *
    @cython.locals(stream=H2Stream, handler=StreamHandler)
    cdef void _cut_streams(self) except *
    @cython.locals(limits=H2Limits, due=double)
    cpdef double next_timeout(self) except *
    @cython.locals(limits=H2Limits, due=double, stream=H2Stream)
    cdef void _handle_timeout(self, double now) except *
    @cython.locals(limits=H2Limits, due=double, patience=double, gone=Py_ssize_t)
    cdef double _check_clocks(self, H2Stream stream, double now) except? -9
    cdef bint _clock_runs(self, H2Stream stream) except -1
