cdef bint NATIVE
cdef object Task, current_task


cdef class EagerStarter:
    cdef object _loop
    cdef object _call_soon
    cdef object _caught
    cdef object _step_type
    cdef bint _catches

    cpdef object start(self, object coroutine, object context)
