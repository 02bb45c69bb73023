cimport cython

from tidegate.http.stream cimport Stream
from tidegate.websocket.deflate cimport Deflater, DeflateParameters
from tidegate.websocket.frames cimport encode_header

cdef Py_ssize_t MAX_JOINED
cdef int BINARY, FIN, RSV1, TEXT


cdef class LastFrame:
    cdef object message
    cdef Deflater deflater
    cdef bytes frame


cdef class MessageSender:
    cdef int _level
    cdef int _mem_level
    cdef Py_ssize_t _min_text
    cdef Py_ssize_t _min_binary
    cdef dict _deflaters
    cdef LastFrame _plain
    cdef LastFrame _deflated

    cpdef Deflater deflater(self, DeflateParameters agreed)
    cpdef Py_ssize_t send_text(self, Stream stream, str text, Deflater deflater) except -1
    cpdef Py_ssize_t send_binary(self, Stream stream, bytes data, Deflater deflater) except -1
    cdef LastFrame _last(self, Deflater deflater)
    @cython.locals(last=LastFrame)
    cdef bint _is_last(self, object message, Deflater deflater) except -1
    @cython.locals(frame=bytes)
    cdef Py_ssize_t _send_last(self, Stream stream, Deflater deflater) except -1
    @cython.locals(last=LastFrame, first=int, header=bytes, frame=bytes)
    cdef Py_ssize_t _send(
        self, Stream stream, object message, int opcode, bytes payload, Py_ssize_t least, Deflater deflater
    ) except -1
