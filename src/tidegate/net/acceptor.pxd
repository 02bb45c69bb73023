from tidegate.gateway.application cimport Gateway
from tidegate.gateway.forwarded cimport Forwarding
from tidegate.http.defaults cimport ResponseDefaults
from tidegate.http.head cimport RequestHead
from tidegate.http1.limits cimport H1Limits
from tidegate.net.timers cimport TimedWire, TimerWheel

cdef double MIN_IDLE


cdef class AcceptedConnection(TimedWire):
    cpdef void pause_writing(self) except *
    cpdef void resume_writing(self) except *
    cpdef void count_written(self, Py_ssize_t count) except *


cdef class Acceptor:
    cdef public object loop
    cdef public object make_protocol
    cdef public TimerWheel wheel
    cdef public Gateway gateway
    cdef public H1Limits limits
    cdef public ResponseDefaults defaults
    cdef public Py_ssize_t max_connections
    cdef public double write_timeout
    cdef public Py_ssize_t write_buffer
    cdef public double linger
    cdef public object open_websocket
    cdef public object request_refused
    cdef public object connections_changed
    cdef public Forwarding forwarding
    cdef public object queue_delay
    cdef public frozenset exempt_paths
    cdef public object open_http
    cdef public object open_http2
    cdef public bint h2c
    cdef public bint h2c_upgrade
    cdef public double preface_timeout
    cdef public ResponseDefaults secure_defaults
    cdef public object tls_extension
    cdef public set connections
    cdef public object parked
    cdef public object share
    cdef public bint shutting_down

    cpdef object admit(self, RequestHead head, object transport)
