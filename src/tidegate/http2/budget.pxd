cdef class Budget:
    cdef double _size
    cdef double _left
    cdef double _rate
    cdef double _since

    cpdef bint spend(self, Py_ssize_t cost, double now) except -1
    cpdef void earn(self, Py_ssize_t count) except *
