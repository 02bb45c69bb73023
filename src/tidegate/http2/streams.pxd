cimport cython

from tidegate.http.stream cimport StreamHandler
from tidegate.http2.budget cimport Budget
from tidegate.http2.frames cimport encode_reset
from tidegate.http2.sender cimport FrameSender, SendingStream
from tidegate.http2.stream cimport H2Stream

cdef int IDLE, CLOSED, CANCELLED, RECV_DATA, SEND_RESET, UNEXPECTED, STREAM_ENDED, LONG_CLOSED, COLUMNS
cdef bytes TABLE


cdef class StreamTable(FrameSender):
    cdef dict _streams
    cdef Py_ssize_t _last_id
    cdef Py_ssize_t _last_pushed
    cdef dict _cancelled
    cdef Py_ssize_t _max_cancelled
    cdef list _gaps
    cdef Py_ssize_t _abandoned
    cdef double _now
    cdef Budget _resets
    cdef Budget _control

    cpdef void spend(self, Py_ssize_t cost) except *
    cpdef void spend_reset(self) except *
    @cython.locals(stream=H2Stream, now=int, table="const unsigned char *", after=int)
    cpdef H2Stream find(self, Py_ssize_t stream_id, int event)
    cpdef int state_of(self, Py_ssize_t stream_id) except -1
    cpdef void take_id(self, Py_ssize_t stream_id) except *
    cpdef void cancelled(self, Py_ssize_t stream_id) except *
    cpdef void fail_stream(self, Py_ssize_t stream_id, H2Stream stream, int code) except *
    @cython.locals(known=H2Stream)
    cpdef void reset_stream(self, SendingStream stream, int code) except *
    @cython.locals(known=H2Stream, handler=StreamHandler)
    cpdef void cut_stream(self, SendingStream stream, int code) except *
    @cython.locals(known=H2Stream)
    cpdef void answer_ended(self, SendingStream stream) except *
    cpdef void forget(self, H2Stream stream) except *
    cpdef void became_idle(self) except *
