from tidegate.http.head cimport RequestHead, ResponseHead


cdef class StreamHandler:
    cpdef void start(self) except *
    cpdef void discarded(self) except *
    cpdef void data_received(self, bytes data) except *
    cpdef void end_received(self, list trailers) except *
    cpdef void peer_closed(self) except *
    cpdef void request_refused(self, object error) except *
    cpdef void stream_reset(self) except *
    cpdef void pause_writing(self) except *
    cpdef void resume_writing(self) except *
    cpdef void shutdown_started(self) except *


cdef class Stream:
    cpdef void send_informational(self, int status, list fields) except *
    cpdef void send_head(self, ResponseHead head) except *
    cpdef void send_data(self, bytes data, bint end_stream) except *
    cpdef void send_file(self, int descriptor, Py_ssize_t offset, Py_ssize_t count, bint end_stream) except *
    cpdef void send_trailers(self, list fields) except *
    cpdef void accept_tunnel(self, list fields) except *
    cpdef void flush(self) except *
    cpdef void pause_reading(self) except *
    cpdef void resume_reading(self) except *
    cpdef bint can_push(self) except -1
    cpdef void push(self, bytes path, list fields) except *
    cpdef Py_ssize_t unacknowledged(self) except -1
    cpdef void release(self) except *
    cpdef void reset(self) except *


cdef class Wire:
    cpdef void write(self, bytes data) except *
    cpdef void send_file(self, bytes data, int descriptor, Py_ssize_t offset, Py_ssize_t count) except *
    cpdef bytes read_file(self, int descriptor, Py_ssize_t offset, Py_ssize_t count)
    cpdef void close_file(self, int descriptor) except *
    cpdef void pause_reading(self) except *
    cpdef void resume_reading(self) except *
    cpdef Py_ssize_t unacknowledged(self) except -1
    cpdef void flush_soon(self) except *
    cpdef void timeout_changed(self) except *
    cpdef void close(self, bint linger) except *
    cpdef void abort(self) except *
