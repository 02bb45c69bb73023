from tidegate.gateway.application cimport Exchange


cdef class Ready:
    pass


cdef class Receive:
    cdef Exchange _exchange
    cdef object _coroutine

    cpdef object send(self, object value)
