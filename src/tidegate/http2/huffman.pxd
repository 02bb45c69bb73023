cimport cython

cdef int _EOS, _LONGEST, _SHORTEST, _PEEK
cdef unsigned int[257] _CODES
cdef unsigned char[257] _BITS
cdef short[257] _SYMBOLS
cdef Py_ssize_t[31] _FIRST_INDEX, _FIRST_CODE, _BOUNDS
cdef bytes _PEEK_SYMBOL, _PEEK_LENGTH

@cython.locals(p="const unsigned char *", o="unsigned char *", peek_symbol="const unsigned char *",
               peek_length="const unsigned char *", count=Py_ssize_t, window=Py_ssize_t, bits=Py_ssize_t,
               i=Py_ssize_t, peek=Py_ssize_t, length=Py_ssize_t, symbol=Py_ssize_t)
cpdef bytes decode_huffman(bytes data, Py_ssize_t start, Py_ssize_t end)

@cython.locals(p="const unsigned char *", n=Py_ssize_t, i=Py_ssize_t, bits=Py_ssize_t)
cpdef Py_ssize_t huffman_size(bytes data) except -1

@cython.locals(p="const unsigned char *", n=Py_ssize_t, i=Py_ssize_t, bits=Py_ssize_t, window=Py_ssize_t,
               c="unsigned char")
cpdef encode_huffman(bytes data, bytearray out)
