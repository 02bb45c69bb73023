import cython

cdef dict _KNOWN
cdef Py_ssize_t _SLOTS
cdef list _SPELLED, _NAMES
cdef bytes _TOKEN, _VALUE

cdef class FieldSection:
    cdef public list fields
    cdef bytearray _partial
    cdef Py_ssize_t _max_fields, _room
    cdef bint _ended, _repeated
    cdef list _previous

    cpdef forget(self)

    cpdef begin(self, Py_ssize_t max_octets)

    @cython.locals(n=Py_ssize_t, i=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t, line=bytes)
    cpdef Py_ssize_t receive(self, bytes data, Py_ssize_t start) except? -1

    @cython.locals(p="const unsigned char *", token="const unsigned char *", allowed="const unsigned char *",
                   i=Py_ssize_t, colon=Py_ssize_t, value=Py_ssize_t, end=Py_ssize_t, last=Py_ssize_t,
                   length=Py_ssize_t, count=Py_ssize_t, slot=Py_ssize_t, fields=list, previous=list, field=tuple,
                   known=bytes, raw=bytes, name=bytes)
    cdef Py_ssize_t _take_lines(self, bytes data, Py_ssize_t start, Py_ssize_t limit) except -1
