from tidegate.gateway.application cimport Exchange
from tidegate.websocket.connection cimport WebSocketHandler


cdef class MessageReceiver(Exchange):
    cpdef void messages_waiting(self, Py_ssize_t count, Py_ssize_t octets) except *
    cpdef void end_waiting(self, bint alone) except *
    cpdef void connection_closed(self) except *
    cpdef void allowance_spent(self) except *
    cpdef void turn_wanted(self) except *


cdef MessageReceiver NOBODY


cdef class Incoming(WebSocketHandler):
    cdef MessageReceiver _exchange
    cdef public object messages
    cdef public Py_ssize_t octets
    cdef public bint ended
    cdef public int code
    cdef public str reason

    cpdef void tell(self, MessageReceiver exchange)
    cpdef void end(self, int code, str reason) except *
