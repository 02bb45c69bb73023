import cython

cdef bytes _REG_NAME, _HEX

@cython.locals(p="const unsigned char *", allowed="const unsigned char *", i=Py_ssize_t, n=Py_ssize_t)
cpdef bint is_authority(bytes value)

cpdef str decode_path(bytes raw)
