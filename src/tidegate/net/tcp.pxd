cimport cython

from tidegate.gateway.application cimport Gateway
from tidegate.gateway.exchange cimport HTTPExchange
from tidegate.gateway.scope cimport Peers
from tidegate.http.connection cimport Connection
from tidegate.http.defaults cimport ResponseDefaults
from tidegate.http.head cimport RequestHead
from tidegate.http1.connection cimport H1Connection, H1Limits
from tidegate.net.timers cimport TimedWire, TimerWheel

cdef double NEVER, UNSET, MIN_IDLE
cdef Py_ssize_t MAX_FILE_TURN, COPY_SIZE, DEFAULT_WRITE_BUFFER
cdef int OPEN, CLOSING, LINGERING, LOST


cdef class Acceptor:
    cdef public object loop
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
    cdef public object open_http2
    cdef public bint h2c
    cdef public double preface_timeout
    cdef public set connections
    cdef public object parked
    cdef public bint shutting_down


cdef class TCPProtocol(TimedWire):
    cdef Acceptor _acceptor
    cdef object _server
    cdef str _scheme
    cdef object _transport
    cdef Connection _connection
    cdef bint _undecided
    cdef Peers _peers
    cdef int _state
    cdef bint _eof
    cdef bint _parked
    cdef double _unparked_at
    cdef bint _flush_scheduled
    cdef double _linger_until
    cdef Py_ssize_t _written
    cdef Py_ssize_t _progress
    cdef double _stalled_since
    cdef FileTransfer _file
    cdef list _queue
    cdef object _socket
    cdef bint _writer_added

    @cython.locals(acceptor=Acceptor)
    cpdef object connection_made(self, object transport)
    cpdef object data_received(self, bytes data)
    cdef object _begin_http2(self, bytes data)
    @cython.locals(acceptor=Acceptor, gateway=Gateway, peers=Peers)
    cpdef object open_handler(self, object stream, RequestHead head)
    cdef Peers _find_peers(self)
    cdef void _reset(self) except *
    cdef void _enqueue(self, object item) except *
    cdef void _start_file(self, bytes data, FileTransfer file) except *
    cdef bint _send_now(self, bytes data) except *
    cdef void _end_file(self) except *
    cdef void _remove_writer(self) except *
    cdef void _end_files(self) except *


cdef class FileTransfer:
    cdef public int descriptor
    cdef public Py_ssize_t offset
    cdef public Py_ssize_t count
    cdef public bint copying
