from tidegate.web._sendtracker cimport enter_inner


cdef class ResponseHead:
    cdef public object _message
    cdef public object _headers


cdef class Resuming:
    cdef public object generator
    cdef public object value


cdef class InlineRun:
    cdef public list generators
    cdef public object scope
    cdef public object receive
    cdef public object send
    cdef public object error
    cdef public bint started
    cdef public bint replaced
