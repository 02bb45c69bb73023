cdef class PeerSettings:
    cdef public Py_ssize_t header_table_size
    cdef public Py_ssize_t least_table_size
    cdef public bint enable_push
    cdef public Py_ssize_t max_streams
    cdef public Py_ssize_t initial_window
    cdef public Py_ssize_t max_frame

    cpdef receive(self, bytes payload)
