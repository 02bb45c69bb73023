cimport cython

from tidegate.gateway.awaitable cimport Receiver
from tidegate.gateway.eager cimport EagerStarter
from tidegate.gateway.scope cimport Peers
from tidegate.http.head cimport RequestHead
from tidegate.http.stream cimport Stream

cdef object DONE
cdef int HINTS_OFF, HINTS_ALL


cdef class Exchange(Receiver):
    cdef Gateway _gateway
    cdef Stream _stream
    cdef public RequestHead request
    cdef public Peers peers
    cdef ApplicationCall _call
    cdef bint _reserved
    cdef bint _writing_paused
    cdef Py_ssize_t _since_yield
    cdef list _send_waiters
    cdef str _identity
    cdef public int status
    cdef public double started_at
    cdef public double first_byte_at
    cdef public double ended_at

    cdef void _open(self, Gateway gateway, Stream stream, RequestHead request, Peers peers) except *
    cpdef void reserve(self) except *
    @cython.locals(gateway=Gateway, call=ApplicationCall)
    cpdef void start(self) except *
    cpdef void discarded(self) except *
    cpdef object call_application(self, object app)
    cpdef void step_started(self) except *
    cpdef void step_ended(self) except *
    cpdef void application_ended(self, object error) except *
    cdef void _log_failure(self, object error) except *
    cpdef bint may_send(self) except *
    cdef void _wake_senders(self) except *


@cython.freelist(64)
cdef class ApplicationCall:
    cdef object _coroutine
    cdef object _steps
    cdef Exchange _exchange
    cdef Gateway _gateway
    cdef public object task
    cdef readonly bint ended

    @cython.locals(exchange=Exchange)
    cdef object _step(self, object thrown)
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
    cdef public Py_ssize_t reserved
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
