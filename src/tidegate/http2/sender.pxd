cimport cython

from tidegate.http.defaults cimport ResponseDefaults
from tidegate.http.head cimport ResponseHead
from tidegate.http.stream cimport Wire
from tidegate.http2.frames cimport encode_header
from tidegate.http2.hpack cimport Encoder
from tidegate.http2.priority cimport ScheduledStream, Scheduler
from tidegate.http2.reader cimport FrameHandler
from tidegate.http2.settings cimport PeerSettings

cdef int DATA, HEADERS, CONTINUATION, PUSH_PROMISE, END_STREAM, END_HEADERS
cdef Py_ssize_t MAX_HELD, SMALL_FRAME, FRAMES_PER_DATA


cdef class SendingStream(ScheduledStream):
    cdef public Py_ssize_t window
    cdef public Py_ssize_t unsent
    cdef public bint ends_with_data

    cpdef bytes take(self, Py_ssize_t limit)
    cpdef void piece_sent(self) except *


cdef class FrameSender(FrameHandler):
    cdef public Wire wire
    cdef public ResponseDefaults defaults
    cdef public Encoder encoder
    cdef public PeerSettings peer
    cdef public Py_ssize_t window
    cdef public Py_ssize_t write_buffer
    cdef public bint writing_paused
    cdef public bint shutting_down
    cdef public bint held
    cdef public Py_ssize_t useful
    cdef list _out
    cdef Py_ssize_t _out_size
    cdef Scheduler _scheduler
    cdef Py_ssize_t _waiting
    cdef bint _pumping

    cpdef void send_frame(self, bytes frame) except *
    @cython.locals(out=list, size=Py_ssize_t, limit=Py_ssize_t, start=Py_ssize_t, piece=bytes)
    cpdef void send_block(self, int kind, int flags, Py_ssize_t stream_id, bytes block) except *
    @cython.locals(defaults=ResponseDefaults, fields=list)
    cpdef void send_head(self, ResponseHead head, Py_ssize_t stream_id, bint end_stream) except *
    cpdef void send_fields(self, Py_ssize_t stream_id, int status, list fields) except *
    @cython.locals(size=Py_ssize_t)
    cpdef bint send_at_once(self, SendingStream stream, bytes data, bint end_stream) except -1
    cdef void _send_data(self, bytes data, Py_ssize_t size, bint end_stream, Py_ssize_t stream_id) except *
    cpdef void schedule(self, SendingStream stream) except *
    cpdef void unschedule(self, SendingStream stream) except *
    @cython.locals(stream=SendingStream)
    cpdef void pump(self) except *
    @cython.locals(limit=Py_ssize_t, data=bytes, size=Py_ssize_t, end=bint)
    cdef void _send_piece(self, SendingStream stream) except *
    cpdef void flush(self) except *
    @cython.locals(out=list)
    cpdef void write_out(self) except *
    cpdef void answer_ended(self, SendingStream stream) except *
    cpdef void reset_stream(self, SendingStream stream, int code) except *
    cpdef void cut_stream(self, SendingStream stream, int code) except *
    cpdef void resume_stream(self, SendingStream stream) except *
    cpdef bint can_push(self, SendingStream stream) except -1
    cpdef void clock_started(self) except *
    cpdef void abandoned(self, int change) except *
    cpdef void push(self, SendingStream stream, bytes path, list fields) except *
