cimport cython


@cython.freelist(64)
cdef class RequestHead:
    cdef public str method
    cdef public bytes target
    cdef public str path
    cdef public bytes raw_path
    cdef public bytes query_string
    cdef public bytes authority
    cdef public str http_version
    cdef public list headers
    cdef public Py_ssize_t content_length
    cdef public bint keep_alive
    cdef public bint expect_continue
    cdef public bint client_trailers
    cdef public bint forwarded
    cdef public bint navigation
    cdef public bytes protocol

    @cython.locals(key=bytes, value=bytes, item=tuple)
    cpdef bytes field(self, bytes name)


@cython.freelist(64)
cdef class ResponseHead:
    cdef public int status
    cdef public list fields
    cdef public Py_ssize_t content_length
    cdef public bint has_date
    cdef public bint has_server
    cdef public bint close
    cdef public bint trailers
