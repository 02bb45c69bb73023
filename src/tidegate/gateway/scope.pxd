cimport cython

from tidegate.http.head cimport RequestHead


cdef class Peers:
    cdef public tuple client
    cdef public tuple server
    cdef public str scheme
    cdef public dict tls
    cdef dict _template

    @cython.locals(scope=dict, tls=dict)
    cpdef dict http_scope(self, RequestHead head, str root_path, dict state, dict extensions)
