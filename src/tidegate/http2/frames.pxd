cimport cython

@cython.locals(header=bytearray)
cpdef bytes encode_header(Py_ssize_t length, int kind, int flags, Py_ssize_t stream_id)
cpdef bytes encode_frame(int kind, int flags, Py_ssize_t stream_id, bytes payload)
cpdef bytes encode_reset(Py_ssize_t stream_id, object code)
cpdef bytes encode_window_update(Py_ssize_t stream_id, object increment)
cpdef bytes encode_goaway(Py_ssize_t last_stream_id, object code, bytes detail)
