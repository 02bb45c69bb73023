cdef class H1Limits:
    cdef public Py_ssize_t max_request_line
    cdef public Py_ssize_t max_head
    cdef public Py_ssize_t max_fields
    cdef public Py_ssize_t max_content
    cdef public Py_ssize_t max_trailers
    cdef public Py_ssize_t max_pipelined
    cdef public Py_ssize_t max_unread
    cdef public Py_ssize_t max_drain
    cdef public double idle_timeout
    cdef public double keep_alive_timeout
    cdef public double head_timeout
    cdef public double body_rate
    cdef public double body_window
    cdef public double shutdown_idle
