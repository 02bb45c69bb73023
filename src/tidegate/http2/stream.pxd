cimport cython

from tidegate.http.head cimport RequestHead, ResponseHead
from tidegate.http.stream cimport StreamHandler
from tidegate.http2.sender cimport FrameSender, SendingStream

cdef int WAITING, SENDING, TUNNELLING, ENDING, SENT
cdef int COLUMNS, BAD, OPEN, RESERVED, HALF_CLOSED_REMOTE, SEND_HEADERS, SEND_END, INTERNAL_ERROR, CANCEL
cdef bytes TABLE
cdef double UNSET


cdef class FileSource:
    cdef public int descriptor
    cdef public Py_ssize_t offset
    cdef public Py_ssize_t count


cdef class H2Stream(SendingStream):
    cdef FrameSender _owner
    cdef public RequestHead request
    cdef public StreamHandler handler
    cdef public int state
    cdef int _phase
    cdef ResponseHead _head
    cdef object _queue
    cdef Py_ssize_t _offset
    cdef list _trailers
    cdef bytearray _early
    cdef bint _writing_paused
    cdef bint _released
    cdef public bint started
    cdef public bint abandoned
    cdef public bint reading_paused
    cdef public bint continue_due
    cdef public bint tunnel
    cdef public bint clocked
    cdef public Py_ssize_t content_left
    cdef public Py_ssize_t content_received
    cdef public Py_ssize_t receive_window
    cdef public Py_ssize_t window_limit
    cdef public Py_ssize_t credit
    cdef public double tick
    cdef public Py_ssize_t since_tick
    cdef public double window_since
    cdef public Py_ssize_t window_octets
    cdef public Py_ssize_t taken
    cdef public double stalled_since
    cdef public Py_ssize_t stalled_mark

    @cython.locals(table="const unsigned char *", after=int)
    cpdef void advance(self, int event) except *
    @cython.locals(handler=StreamHandler)
    cpdef void deliver(self, bytes data) except *
    cpdef void detach(self) except *
    cpdef void abandon(self) except *
    @cython.locals(status=int)
    cpdef void send_head(self, ResponseHead head) except *
    @cython.locals(owner=FrameSender, size=Py_ssize_t, head=ResponseHead)
    cpdef void send_data(self, bytes data, bint end_stream) except *
    @cython.locals(head=ResponseHead)
    cpdef void flush_head(self) except *
    cdef void _enqueue(self, object item, Py_ssize_t size) except *
    @cython.locals(owner=FrameSender)
    cdef void _push_out(self) except *
    @cython.locals(data=bytes, left=Py_ssize_t, size=Py_ssize_t)
    cpdef bytes take(self, Py_ssize_t limit)
    @cython.locals(room=Py_ssize_t)
    cdef bytes _join(self, bytes data, Py_ssize_t limit)
    @cython.locals(data=bytes)
    cdef bytes _take_file(self, FileSource file, Py_ssize_t limit)
    @cython.locals(handler=StreamHandler)
    cdef void _set_writing(self, bint paused) except *
    cdef void _send_trailers(self, list fields) except *
    cdef void _end(self) except *
