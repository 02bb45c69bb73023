cimport cython

from tidegate.http.stream cimport Stream, StreamHandler
from tidegate.websocket.allowance cimport Allowance
from tidegate.websocket.deflate cimport Deflater, DeflateParameters, Inflater
from tidegate.websocket.frames cimport encode_header
from tidegate.websocket.reader cimport MessageReader
from tidegate.websocket.sender cimport MessageSender

cdef double NEVER
cdef Py_ssize_t MAX_PONGS
cdef int CLOSE, FIN, PING, PONG
cdef int CLOSE_RECEIVED, CLOSE_SENT, EXPIRED, FAILED, FINISHED, LOST
cdef int OPEN, CLOSED, ENDING, COLUMNS
cdef int END, RESET, SEND, STATE, TELL
cdef bytes TABLE


cdef class WebSocketLimits:
    cdef public Py_ssize_t max_message
    cdef public Py_ssize_t max_frames
    cdef public Py_ssize_t max_empty_frames
    cdef public double ping_interval
    cdef public double ping_timeout
    cdef public double close_timeout


cdef class WebSocketHandler(StreamHandler):
    cpdef void message_received(self, object message) except *
    cpdef void close_received(self, int code, str reason) except *
    cpdef void connection_closed(self) except *
    cpdef void allowance_spent(self) except *
    cpdef void turn_wanted(self) except *


cdef class WebSocketConnection(MessageReader):
    cdef Stream _stream
    cdef WebSocketHandler _handler
    cdef WebSocketLimits _limits
    cdef MessageSender _sender
    cdef Deflater _deflater
    cdef int _state
    cdef bytes _close_payload
    cdef double _deadline
    cdef bint _eof
    cdef bint _resting
    cdef double _heard_at
    cdef public bint pinged
    cdef double _pinged_at
    cdef Py_ssize_t _ping_end
    cdef Py_ssize_t _taken
    cdef Py_ssize_t _pings
    cdef bytes _pong
    cdef bint _writing_paused
    cdef public Py_ssize_t messages_received
    cdef public Py_ssize_t messages_sent
    cdef public Py_ssize_t octets_received
    cdef public Py_ssize_t octets_sent

    cpdef void receive_data(self, bytes data, double now) except *
    cpdef void receive_eof(self) except *
    cpdef void receive_reset(self) except *
    cpdef void pause_writing(self) except *
    cpdef void resume_writing(self) except *
    @cython.locals(payload=bytes)
    cdef void _send_pong(self) except *
    cpdef void pause_reading(self) except *
    cpdef void resume_reading(self, double now) except *
    cpdef void take_turn(self, double now) except *
    @cython.locals(limits=WebSocketLimits)
    cpdef double next_timeout(self) except *
    @cython.locals(waiting=Py_ssize_t)
    cpdef void handle_timeout(self, double now) except *
    @cython.locals(before=Py_ssize_t)
    cdef bint _is_taking(self) except -1
    cpdef void send_text(self, str text) except *
    cpdef void send_binary(self, bytes data) except *
    cpdef void send_close(self, int code, str reason, double now) except *
    cpdef void finish(self) except *
    @cython.locals(table="const unsigned char *", entry=int, before=int, after=int, frame=bytes)
    cdef void _happened(self, int event, int code, str reason, double now) except *
    @cython.locals(code=int, detail=str)
    cdef void _receive(self, bytes data, double now) except *
    @cython.locals(frame=bytes)
    cdef void _send_control(self, int opcode, bytes payload) except *
