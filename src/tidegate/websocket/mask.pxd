cimport cython

cdef bint INTERPRETED

@cython.locals(p="const unsigned char *", n=Py_ssize_t, out=bytes)
cpdef bytes unmask(bytes data, Py_ssize_t start, Py_ssize_t end, Py_ssize_t key)

@cython.locals(
    o="unsigned char *", i=Py_ssize_t,
    k0="unsigned char", k1="unsigned char", k2="unsigned char", k3="unsigned char",
)
cpdef void xor(object out, Py_ssize_t n, Py_ssize_t key) except *

@cython.locals(shift=Py_ssize_t)
cpdef Py_ssize_t rotate(Py_ssize_t key, Py_ssize_t count) except -1
