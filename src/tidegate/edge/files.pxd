cimport cython

from tidegate.http.head cimport RequestHead, ResponseHead

cdef double VALID


cdef class Representation:
    cdef public int descriptor
    cdef public Py_ssize_t size
    cdef public object modified
    cdef public bytes content
    cdef public str media
    cdef public str etag
    cdef public str last_modified
    cdef public list fields
    cdef public ResponseHead head
    cdef public ResponseHead not_modified


cdef class StaticFile:
    cdef public bytes path
    cdef public Representation plain
    cdef public dict encoded
    cdef public tuple offered
    cdef public double valid_until
    cdef public tuple checked
    cdef public Py_ssize_t size_in_memory


cdef class StaticFiles:
    cdef list _mounts
    cdef list _rules
    cdef bint _fallthrough
    cdef object _fields_of
    cdef Py_ssize_t _max_files
    cdef Py_ssize_t _max_memory
    cdef dict _files
    cdef Py_ssize_t _memory

    @cython.locals(path=str, file=StaticFile, now=double)
    cpdef object find(self, RequestHead head)
    cdef bint _still_valid(self, str path, StaticFile file, double now) except -1
    @cython.locals(known=StaticFile, now=double)
    cdef object _look(self, str path)
    cdef void _keep(self, str key, StaticFile file) except *
    @cython.locals(file=StaticFile)
    cdef void _forget(self, str key) except *
