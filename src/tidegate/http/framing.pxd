import cython

cdef Py_ssize_t _MAX_DIGITS

@cython.locals(p="const unsigned char *", i=Py_ssize_t, n=Py_ssize_t, length=Py_ssize_t, c="unsigned char")
cpdef Py_ssize_t parse_content_length(bytes value)
