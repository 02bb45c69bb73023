cimport cython

from tidegate.http.stream cimport StreamHandler

cdef object current_task


cdef class Ready:
    pass


cdef class Waiter:
    cdef Receiver _receiver
    cdef public bint _asyncio_future_blocking
    cdef object _callback
    cdef object _context
    cdef object _message
    cdef bint _cancelled
    cdef bint _awaited

    cpdef Waiter again(self)
    cpdef void wake(self, bint at_once) except *


cdef class Receiver(StreamHandler):
    cdef public object loop
    cdef bint _in_step
    cdef Py_ssize_t _turns
    cdef Waiter _waiter
    cdef list _waiters

    cdef void _open_receiver(self, object loop) except *
    cpdef dict take_message(self)
    @cython.locals(waiter=Waiter)
    cpdef Waiter new_waiter(self)
    @cython.locals(waiter=Waiter, waiters=list)
    cdef void _wake(self) except *
