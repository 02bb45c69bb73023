cimport cython

cdef bytes TAIL


cdef class DeflateParameters:
    cdef public bint server_no_context_takeover
    cdef public bint client_no_context_takeover
    cdef public int server_max_window_bits
    cdef public int client_max_window_bits
    cdef public str response


cdef class Deflater:
    cdef int _level
    cdef int _mem_level
    cdef int _window_bits
    cdef readonly bint takeover
    cdef object _flush
    cdef object _make
    cdef object _stream
    @cython.locals(out=bytes)
    cpdef bytes deflate(self, bytes data)


cdef class Inflater:
    cdef int _window_bits
    cdef bint _takeover
    cdef object _stream
    cdef Py_ssize_t _streams
    cdef readonly Py_ssize_t started
    @cython.locals(out=bytes, rest=bytes)
    cpdef bytes inflate(self, bytes data, Py_ssize_t room, bint last)
    cdef object _start(self)
