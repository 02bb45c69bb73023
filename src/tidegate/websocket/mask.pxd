cimport cython

cdef bint INTERPRETED
cdef Py_ssize_t MAX_LOOP

@cython.locals(
    p="const unsigned char *", o="unsigned char *", i=Py_ssize_t, n=Py_ssize_t,
    k0="unsigned char", k1="unsigned char", k2="unsigned char", k3="unsigned char",
)
cpdef bytes unmask(bytes data, Py_ssize_t start, Py_ssize_t end, Py_ssize_t key)

@cython.locals(shift=Py_ssize_t)
cpdef Py_ssize_t rotate(Py_ssize_t key, Py_ssize_t count) except -1
