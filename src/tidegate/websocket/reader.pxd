cimport cython

from tidegate.websocket.allowance cimport Allowance
from tidegate.websocket.deflate cimport Inflater
from tidegate.websocket.mask cimport rotate, unmask

cdef int BINARY, CLOSE, CONTINUATION, TEXT
cdef int MAX_CONTROL_PAYLOAD
cdef Py_ssize_t PIECE, SMALL_PIECE, STREAM_COST
cdef object utf_8_decode


cdef class MessageReader:
    cdef Py_ssize_t _max_message
    cdef Py_ssize_t _max_frames
    cdef Py_ssize_t _max_empty_frames
    cdef Inflater _inflater
    cdef Allowance _allowance
    cdef Py_ssize_t _turn
    cdef Py_ssize_t _inflated
    cdef bytes _data
    cdef Py_ssize_t _position
    cdef readonly bint stopped
    cdef Py_ssize_t _left
    cdef Py_ssize_t _key
    cdef bint _final
    cdef bint _started
    cdef bytearray _message
    cdef bint _text
    cdef bint _compressed
    cdef bytes _partial
    cdef Py_ssize_t _frames
    cdef Py_ssize_t _empty_frames
    cdef Py_ssize_t _wire_octets

    @cython.locals(i=Py_ssize_t)
    cpdef void parse(self, bytes data) except *
    @cython.locals(
        p="const unsigned char *", i=Py_ssize_t, n=Py_ssize_t, at=Py_ssize_t, size=Py_ssize_t, j=Py_ssize_t,
        key=Py_ssize_t, first=int, second=int, opcode=int,
    )
    cdef Py_ssize_t _parse(self, bytes data) except -1
    @cython.locals(message=str)
    cdef void _receive_whole(self, bytes payload, bint text, bint compressed) except *
    cdef Py_ssize_t _max_payload(self, bint compressed) except -1
    cdef Inflater _agreed_inflater(self)
    cdef void _start_frame(self, int opcode, int first, Py_ssize_t size) except *
    @cython.locals(
        inflater=Inflater, started=Py_ssize_t, out=bytes, cost=Py_ssize_t, allowance=Allowance, left=Py_ssize_t
    )
    cdef bytes _inflate(self, bytes data, Py_ssize_t room, bint last)
    @cython.locals(allowance=Allowance)
    cdef bint _is_others_turn(self) except -1
    @cython.locals(end=Py_ssize_t, size=Py_ssize_t, most=Py_ssize_t, chunk=bytes, last=bint)
    cdef Py_ssize_t _receive_payload(self, bytes data, Py_ssize_t i) except -1
    @cython.locals(used=Py_ssize_t)
    cdef void _check_text(self, bytes chunk) except *
    @cython.locals(chunk=bytes)
    cdef void _end_message(self) except *
    @cython.locals(message=bytearray)
    cdef void _deliver(self) except *
    cpdef void message_received(self, object message) except *
    cpdef void control_received(self, int opcode, bytes payload) except *
    cpdef void allowance_spent(self) except *
    cpdef void rest(self) except *
