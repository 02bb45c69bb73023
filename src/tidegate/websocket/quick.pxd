cimport cython

cdef Py_ssize_t HASH_BITS, MIN_MATCH, MAX_MATCH
cdef bytes LITERALS, LENGTHS_LOW, LENGTHS_HIGH, LENGTHS_BITS, DISTANCES


cdef class QuickDeflater:
    cdef Py_ssize_t _window_size
    cdef bint _takeover
    cdef bytes _window
    cdef bytearray _table
    cdef Py_ssize_t _position

    @cython.locals(start=Py_ssize_t, size=Py_ssize_t, end=Py_ssize_t, out=bytearray, o="unsigned char *")
    cpdef bytes deflate(self, bytes data)
    @cython.locals(
        p="const unsigned char *", o="unsigned char *", table="unsigned char *",
        literals="const unsigned char *", lengths_low="const unsigned char *",
        lengths_high="const unsigned char *", lengths_bits="const unsigned char *",
        distances="const unsigned char *",
        window=Py_ssize_t, base=Py_ssize_t, n=Py_ssize_t, i=Py_ssize_t, j=Py_ssize_t, k=Py_ssize_t,
        held=Py_ssize_t, bits=Py_ssize_t, key=Py_ssize_t, slot=Py_ssize_t, at=Py_ssize_t,
        distance=Py_ssize_t, length=Py_ssize_t, most=Py_ssize_t, extra=Py_ssize_t,
    )
    cdef Py_ssize_t _encode(self, bytes data, Py_ssize_t start, bytearray out) except -1
