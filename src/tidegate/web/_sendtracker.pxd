cdef class SendTracker:
    cdef public object send
    cdef public object inner
    cdef public bint started
    cdef public bint accepted
    cdef public bint closed


cpdef SendTracker tracked(object send)
cpdef SendTracker enter(object scope, object send, object handlers, bint layered)
cpdef SendTracker enter_inner(object scope, object send, object handlers)
