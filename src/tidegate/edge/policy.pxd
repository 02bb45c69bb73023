cimport cython

from tidegate.http.head cimport RequestHead


cdef class Policy:
    cdef public Py_ssize_t max_content
    cdef public Py_ssize_t max_active
    cdef public Py_ssize_t active
    cdef public double timeout
    cdef public frozenset methods
    cdef public list fields
    cdef public bytes cache_control
    cdef public object compression

    cpdef bint takes(self, str method) except -1
    cpdef object admit(self, RequestHead head)


cdef class Policies:
    cdef dict _policies
    cdef Policy _root
    cdef Py_ssize_t _depth

    @cython.locals(found=Policy, policy=Policy, end=Py_ssize_t, i=Py_ssize_t)
    cpdef Policy find(self, str path)
