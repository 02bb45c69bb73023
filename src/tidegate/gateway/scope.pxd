cimport cython

from tidegate.http.head cimport RequestHead

cdef dict _TEMPLATE


cdef class Peers:
    cdef public tuple client
    cdef public tuple server
    cdef public str scheme
    cdef public str root_path
    cdef public bint trusted
    cdef public dict tls
    cdef dict _template

    @cython.locals(scope=dict, tls=dict)
    cpdef dict http_scope(self, RequestHead head, str root_path, dict state, dict extensions)
