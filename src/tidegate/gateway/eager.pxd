cdef bint NATIVE
cdef object Task


cdef class EagerStarter:
    cdef object _loop
    cdef object _call_soon
    cdef object _caught
    cdef bint _catches

    cpdef object start(self, object coroutine, object context)
