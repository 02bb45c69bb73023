from tidegate.gateway.websocket cimport WebSocketExchange
from tidegate.metrics.recorder cimport Recorder


cdef class MeasuredWebSocketExchange(WebSocketExchange):
    cdef Recorder recorder

    cpdef void accepted(self) except *
