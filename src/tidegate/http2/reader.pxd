cimport cython

from tidegate.http.connection cimport Connection

cdef int PREFACE_SIZE, HEADER_SIZE
cdef int DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION
cdef int PRIORITY_UPDATE
cdef int ACK, END_STREAM, END_HEADERS, PADDED, WITH_PRIORITY


cdef class FrameHandler(Connection):
    cpdef void data_received(self, Py_ssize_t stream_id, bytes data, Py_ssize_t octets, bint end_stream) except *
    cpdef void headers_received(
        self, Py_ssize_t stream_id, bytes block, bint end_stream, Py_ssize_t depends_on
    ) except *
    cpdef void priority_received(self, Py_ssize_t stream_id, Py_ssize_t depends_on, bint well_sized) except *
    cpdef void reset_received(self, Py_ssize_t stream_id) except *
    cpdef void settings_received(self, bytes payload) except *
    cpdef void settings_acknowledged(self) except *
    cpdef void ping_received(self, bytes payload, bint ack) except *
    cpdef void goaway_received(self) except *
    cpdef void window_update_received(self, Py_ssize_t stream_id, Py_ssize_t increment) except *
    cpdef void priority_update_received(self, Py_ssize_t stream_id, bytes value) except *
    cpdef void unknown_received(self) except *


cdef FrameHandler _NOBODY


@cython.final
cdef class FrameReader:
    cdef FrameHandler _handler
    cdef Py_ssize_t _max_frame, _max_block, _max_pieces
    cdef Py_ssize_t _preface_left, _needed
    cdef bint _settings_seen
    cdef bytearray _partial
    cdef bint _pad_unknown, _data_ends_stream
    cdef Py_ssize_t _data_stream, _data_left, _pad_left
    cdef bytearray _block
    cdef Py_ssize_t _block_stream, _block_depends_on, _pieces
    cdef bint _block_ends_stream
    cdef readonly Py_ssize_t frames
    cdef readonly bint in_data, empty
    cdef public bint stopped

    cpdef void detach(self) except *
    @cython.locals(p="const unsigned char *", n=Py_ssize_t, i=Py_ssize_t, length=Py_ssize_t, kind=int,
                   stream_id=Py_ssize_t)
    cpdef Py_ssize_t receive(self, bytes data, Py_ssize_t start) except? -9
    @cython.locals(size=Py_ssize_t, done=Py_ssize_t)
    cdef Py_ssize_t _take_preface(self, bytes data, Py_ssize_t start) except? -9
    @cython.locals(partial=bytearray, size=Py_ssize_t, frame=bytes, p="const unsigned char *", length=Py_ssize_t,
                   stream_id=Py_ssize_t)
    cdef Py_ssize_t _take_partial(self, bytes data, Py_ssize_t start) except? -9
    cdef void _check_header(self, Py_ssize_t length, int kind, Py_ssize_t stream_id) except *
    cdef void _begin_data(self, Py_ssize_t length, int flags, Py_ssize_t stream_id) except *
    @cython.locals(p="const unsigned char *", n=Py_ssize_t, i=Py_ssize_t, size=Py_ssize_t, begin=Py_ssize_t,
                   skipped=Py_ssize_t, end=bint, content=bytes)
    cdef Py_ssize_t _take_data(self, bytes data, Py_ssize_t start) except? -9
    @cython.locals(p="const unsigned char *", length=Py_ssize_t, increment=Py_ssize_t, depends_on=Py_ssize_t)
    cdef void _take_frame(
        self, int kind, int flags, Py_ssize_t stream_id, bytes data, Py_ssize_t start, Py_ssize_t end
    ) except *
    @cython.locals(p="const unsigned char *", i=Py_ssize_t, last=Py_ssize_t, depends_on=Py_ssize_t)
    cdef void _take_headers(
        self, int flags, Py_ssize_t stream_id, bytes data, Py_ssize_t start, Py_ssize_t end
    ) except *
    @cython.locals(stream_id=Py_ssize_t, block=bytes)
    cdef void _take_continuation(self, int flags, bytes piece) except *
    @cython.locals(length=Py_ssize_t, about=Py_ssize_t)
    cdef void _take_connection_frame(self, int kind, int flags, bytes payload) except *
