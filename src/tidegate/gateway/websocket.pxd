cimport cython

from tidegate.gateway.application cimport ApplicationCall, Exchange, Gateway
from tidegate.gateway.exchange cimport HTTPExchange
from tidegate.gateway.scope cimport Peers
from tidegate.http.fields cimport response_fields
from tidegate.http.head cimport RequestHead, ResponseHead
from tidegate.http.stream cimport Stream
from tidegate.websocket.connection cimport WebSocketConnection, WebSocketHandler, WebSocketLimits

cdef double NEVER
cdef int CONNECTING, REFUSING, ACCEPTED, CLOSED, GONE
cdef int ACCEPT, SEND, CLOSE, START, BODY
cdef int BAD, GO, IGNORE, TELL
cdef int COLUMNS
cdef bytes ACTIONS
cdef dict MESSAGES
cdef Py_ssize_t MAX_WITHOUT_YIELD, MAX_AT_ONCE


cdef class WebSocketSettings:
    cdef public WebSocketLimits limits
    cdef public int window_bits
    cdef public Py_ssize_t max_queue
    cdef public Py_ssize_t max_queued
    cdef public double handshake_timeout


cdef class Waiter:
    cdef WebSocketExchange _exchange
    cdef public bint _asyncio_future_blocking
    cdef object _callback
    cdef object _context
    cdef bint _cancelled

    cpdef void wake(self, bint at_once) except *


cdef class MessageReceive:
    cdef WebSocketExchange _exchange

    cpdef object send(self, object value)


cdef class Incoming(WebSocketHandler):
    cdef WebSocketExchange _exchange
    cdef public object messages
    cdef public Py_ssize_t octets
    cdef public bint ended
    cdef public int code
    cdef public str reason

    cpdef void end(self, int code, str reason) except *


cdef class WebSocketExchange(Exchange):
    cdef object _handshake
    cdef Gateway _gateway
    cdef Stream _stream
    cdef WebSocketSettings _settings
    cdef public RequestHead request
    cdef public Peers peers
    cdef ApplicationCall _call
    cdef int _state
    cdef bint _connect_delivered
    cdef HTTPExchange _refusal
    cdef WebSocketConnection _connection
    cdef Incoming _incoming
    cdef object _timer
    cdef double _timer_due
    cdef bint _in_step
    cdef bint _writing_paused
    cdef bint _shutting_down
    cdef Py_ssize_t _since_yield
    cdef public object loop
    cdef Py_ssize_t _turns
    cdef Waiter _waiter
    cdef list _waiters
    cdef list _send_waiters
    cdef str _identity
    cdef bint _logged
    cdef public int status
    cdef public double started_at
    cdef public double first_byte_at

    @cython.locals(settings=WebSocketSettings, full=bint)
    cpdef void messages_waiting(self, Py_ssize_t count, Py_ssize_t octets) except *
    @cython.locals(connection=WebSocketConnection)
    cpdef void end_waiting(self, bint alone) except *
    cpdef void connection_closed(self) except *
    cdef void _finish(self) except *
    cdef void _client_gone(self) except *
    @cython.locals(incoming=Incoming, connection=WebSocketConnection, settings=WebSocketSettings)
    cpdef dict take_message(self)
    @cython.locals(incoming=Incoming, settings=WebSocketSettings)
    cdef void _resume_reading(self, WebSocketConnection connection) except *
    @cython.locals(waiter=Waiter)
    cpdef Waiter new_waiter(self)
    @cython.locals(waiter=Waiter, waiters=list)
    cdef void _wake(self) except *
    @cython.locals(kind=int, state=int, action=int, table="const unsigned char *")
    cpdef object send(self, object message)
    cdef void _wake_senders(self) except *
    @cython.locals(connection=WebSocketConnection)
    cdef void _take_send(self, object message) except *
    cdef void _take_close(self, object message) except *
    @cython.locals(connection=WebSocketConnection)
    cdef void _close(self, int code, str reason, int state) except *
    @cython.locals(head=ResponseHead, connection=WebSocketConnection)
    cdef void _take_accept(self, object message) except *
    cdef object _forbid(self)
    @cython.locals(refusal=HTTPExchange)
    cdef void _refuse(self) except *
    @cython.locals(refusal=HTTPExchange)
    cdef object _pass_on(self, int kind, object message)
    cdef void _arm(self, double when) except *
    cdef void _disarm(self) except *
    cdef void _handshake_expired(self) except *
    cdef void _log(self) except *
