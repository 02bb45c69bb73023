cimport cython

from tidegate.gateway.application cimport Exchange, Gateway
from tidegate.gateway.exchange cimport HTTPExchange
from tidegate.gateway.incoming cimport Incoming, MessageReceiver
from tidegate.gateway.scope cimport Peers
from tidegate.http.head cimport RequestHead
from tidegate.http.stream cimport Stream
from tidegate.websocket.connection cimport WebSocketConnection, WebSocketLimits
from tidegate.websocket.sender cimport MessageSender

cdef double NEVER
cdef int CONNECTING, REFUSING, ACCEPTED, CLOSED, GONE
cdef int ACCEPT, SEND, CLOSE, START, BODY
cdef int BAD, GO, IGNORE, TELL
cdef int COLUMNS
cdef bytes ACTIONS
cdef dict MESSAGES
cdef Py_ssize_t MAX_WITHOUT_YIELD, MESSAGE_COST, MAX_AT_ONCE


cdef class WebSocketSettings:
    cdef public WebSocketLimits limits
    cdef public int window_bits
    cdef public bint takeover
    cdef public MessageSender sender
    cdef readonly object turns
    cdef public Py_ssize_t max_queue
    cdef public Py_ssize_t max_queued
    cdef public double handshake_timeout


cdef class WebSocketExchange(MessageReceiver):
    cdef object _handshake
    cdef WebSocketSettings _settings
    cdef int _state
    cdef bint _connect_delivered
    cdef HTTPExchange _refusal
    cdef WebSocketConnection _connection
    cdef Incoming _incoming
    cdef object _timer
    cdef double _timer_due
    cdef bint _shutting_down
    cdef bint _logged

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
    @cython.locals(kind=int, state=int, action=int, table="const unsigned char *", checked=dict)
    cpdef object send(self, object message)
    cpdef bint may_send(self) except *
    @cython.locals(connection=WebSocketConnection)
    cdef void _take_send(self, dict message) except *
    @cython.locals(connection=WebSocketConnection)
    cdef void _close(self, int code, str reason, int state) except *
    @cython.locals(connection=WebSocketConnection, settings=WebSocketSettings)
    cdef void _take_accept(self, object message) except *
    cpdef void accepted(self) except *
    cdef object _forbid(self)
    @cython.locals(refusal=HTTPExchange)
    cdef void _refuse(self, object message) except *
    @cython.locals(refusal=HTTPExchange)
    cdef object _refuse_further(self, int kind, object message)
    cdef void _arm(self, double when) except *
    cdef void _disarm(self) except *
    cdef void _handshake_expired(self) except *
    cdef void _log(self) except *
