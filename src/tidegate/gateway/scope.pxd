cimport cython

from tidegate.http.head cimport RequestHead


cdef class Peers:
    cdef public tuple client
    cdef public tuple server
    cdef public str scheme


@cython.locals(path=str)
cpdef dict http_scope(RequestHead head, Peers peers, str root_path, dict state, dict extensions)
