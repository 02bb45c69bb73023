cdef class SendTracker:
    cdef public object send
    cdef public object inner
    cdef public bint started
    cdef public bint accepted
    cdef public bint closed
