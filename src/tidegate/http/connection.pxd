cdef class Connection:
    cpdef void receive_data(self, bytes data, double now) except *
    cpdef void receive_eof(self, double now) except *
    cpdef void connection_lost(self) except *
    cpdef void pause_writing(self) except *
    cpdef void resume_writing(self) except *
    cpdef void flush_due(self) except *
    cpdef double next_timeout(self) except *
    cpdef void handle_timeout(self, double now) except *
    cpdef void close_idle(self) except *
    cpdef void shutdown(self, double now) except *
    cpdef void cut(self) except *
