cdef class Allowance:
    cdef public Py_ssize_t octets
    cdef public Py_ssize_t each
    cdef public Py_ssize_t left
    cdef public Py_ssize_t turn

    cpdef void refill(self)
