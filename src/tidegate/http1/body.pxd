import cython

from tidegate.http1.section cimport FieldSection

cdef Py_ssize_t _MAX_SIZE_DIGITS, _MAX_SIZE, _MAX_EXTENSION, _MAX_EXTENSIONS
cdef int _REFUSED, _SIZE_FIRST, _SIZE, _LINE_LF, _LINE_END, _DATA, _DATA_CR, _DATA_LF, _TRAILERS, _COMPLETE, _CLASSES
cdef bytes _CLASS, _NEXT, _HEX

cdef class ChunkedDecoder:
    cdef public bint complete
    cdef public list trailers
    cdef FieldSection _section
    cdef int _state
    cdef Py_ssize_t _max_trailers, _digits, _left, _extension, _extensions

    cpdef reset(self)

    @cython.locals(p="const unsigned char *", i=Py_ssize_t, n=Py_ssize_t, size=Py_ssize_t)
    cpdef Py_ssize_t receive(self, bytes data, Py_ssize_t start, list chunks) except -1

    @cython.locals(p="const unsigned char *", classes="const unsigned char *", following="const unsigned char *",
                   digits="const unsigned char *", state=int, c="unsigned char", i=Py_ssize_t, n=Py_ssize_t,
                   size=Py_ssize_t)
    cdef Py_ssize_t _take_line(self, bytes data, Py_ssize_t start) except -1

    cdef _take_trailers(self)
