cimport cython

from tidegate.gateway.eager cimport EagerStarter
from tidegate.gateway.scope cimport Peers
from tidegate.http.head cimport RequestHead
from tidegate.http.stream cimport StreamHandler

cdef object DONE
cdef int HINTS_OFF, HINTS_ALL


cdef class Exchange(StreamHandler):
    cpdef object call_application(self, object app)
    cpdef void step_started(self) except *
    cpdef void step_ended(self) except *
    cpdef void application_ended(self, object error) except *
    cpdef dict take_message(self)


@cython.freelist(64)
cdef class ApplicationCall:
    cdef object _coroutine
    cdef Exchange _exchange
    cdef Gateway _gateway
    cdef public object task
    cdef readonly bint ended

    @cython.locals(exchange=Exchange)
    cdef object _step(self, object value, object thrown)
    @cython.locals(exchange=Exchange)
    cdef void _end(self, object error) except *


cdef class Gateway:
    cdef public object app
    cdef public object loop
    cdef public str root_path
    cdef public dict state
    cdef public Py_ssize_t read_buffer
    cdef public Py_ssize_t max_exchanges
    cdef public object access_log
    cdef public set calls
    cdef readonly Py_ssize_t calls_begun
    cdef public bint cancelling
    cdef object _notice
    cdef object _shutdown
    cdef int _early_hints
    cdef object _cancel_after
    cdef public object identify
    cdef object _context
    cdef EagerStarter _starter
    cdef bint _task_factory

    cpdef void run(self, ApplicationCall call) except *
    cpdef void call_ended(self, ApplicationCall call) except *
    cpdef bint full(self) except *
    @cython.locals(extensions=dict)
    cpdef dict extensions(self, RequestHead request)
    @cython.locals(policy=int)
    cpdef bint hints_allowed(self, RequestHead request) except *
