cdef int BINARY_FRAME, TEXT_FRAME, BINARY
cdef list SHORT_TEXT, SHORT_BINARY

cpdef bytes encode_header(int first, Py_ssize_t size)
