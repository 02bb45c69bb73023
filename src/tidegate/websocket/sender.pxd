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
    @cython.locals(last=LastFrame, payload=bytes)
    cpdef Py_ssize_t send_text(self, Stream stream, str text, Deflater deflater) except -1
    @cython.locals(last=LastFrame)
    cpdef Py_ssize_t send_binary(self, Stream stream, bytes data, Deflater deflater) except -1
    @cython.locals(last=LastFrame, header=bytes, frame=bytes)
    cdef Py_ssize_t _send(self, Stream stream, object message, int first, bytes payload, Deflater deflater) except -1
