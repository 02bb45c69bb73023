cimport cython

from tidegate.gateway.application cimport Exchange
from tidegate.websocket.connection cimport WebSocketHandler


cdef class Waiter:
    cdef MessageReceiver _exchange
    cdef public bint _asyncio_future_blocking
    cdef object _callback
    cdef object _context
    cdef bint _cancelled

    cpdef void wake(self, bint at_once) except *


cdef class MessageReceive:
    cdef MessageReceiver _exchange

    cpdef object send(self, object value)


cdef class Incoming(WebSocketHandler):
    cdef MessageReceiver _exchange
    cdef public object messages
    cdef public Py_ssize_t octets
    cdef public bint ended
    cdef public int code
    cdef public str reason

    cpdef void end(self, int code, str reason) except *


cdef class MessageReceiver(Exchange):
    cdef public object loop
    cdef Py_ssize_t _turns
    cdef Waiter _waiter
    cdef list _waiters

    cdef void _open_receiver(self, object loop) except *
    cpdef void messages_waiting(self, Py_ssize_t count, Py_ssize_t octets) except *
    cpdef void end_waiting(self, bint alone) except *
    cpdef void connection_closed(self) except *
    @cython.locals(waiter=Waiter)
    cpdef Waiter new_waiter(self)
    @cython.locals(waiter=Waiter, waiters=list)
    cdef void _wake(self) except *
