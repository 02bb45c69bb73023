cimport cython

from tidegate.http.connection cimport Connection
from tidegate.http.defaults cimport ResponseDefaults
from tidegate.http.head cimport RequestHead, ResponseHead
from tidegate.http.stream cimport Stream
from tidegate.http1.encoder cimport encode_head, encode_interim, encode_trailers

cdef int WAITING, SENDING, SENT
cdef int SEND_INTERIM, SEND_HEAD, SEND_CONTENT, SEND_END, SEND_SWITCH, SEND_RESET
cdef int COLUMNS, BAD
cdef int BY_LENGTH, BY_CHUNKS, BY_CLOSE, NO_BODY, AS_TUNNEL
cdef Py_ssize_t MAX_COPIED_CHUNK
cdef bytes SENDING_TABLE


cdef class StreamOwner(Connection):
    cdef public ResponseDefaults defaults
    cdef public bint shutting_down
    cpdef void send(self, bytes data) except *
    cpdef void send_file(self, int descriptor, Py_ssize_t offset, Py_ssize_t count) except *
    cpdef void flush(self) except *
    cpdef void stream_ended(self, bint keep_alive) except *
    cpdef void stream_cut(self, bint tell) except *
    cpdef void switch(self) except *
    cpdef void set_reading(self, bint paused) except *
    cpdef Py_ssize_t unacknowledged(self) except -1
    cpdef void start_clock(self) except *
    cpdef bint content_left_over(self) except -1


cdef class H1Stream(Stream):
    cdef StreamOwner _owner
    cdef int _state
    cdef int _framing
    cdef bint _keep_alive
    cdef public RequestHead request
    cdef public bint continue_due

    cpdef void detach(self) except *

    @cython.locals(table="const unsigned char *", after=int)
    cdef void _advance(self, int event) except *

    @cython.locals(owner=StreamOwner, request=RequestHead, status=int, old=bint, lines=bytes)
    cpdef void send_head(self, ResponseHead head) except *

    @cython.locals(owner=StreamOwner, framing=int, size=Py_ssize_t)
    cpdef void send_data(self, bytes data, bint end_stream) except *
