cimport cython

from tidegate.gateway.application cimport Exchange, Gateway
from tidegate.gateway.exchange cimport HTTPExchange
from tidegate.gateway.forwarded cimport Forwarding
from tidegate.gateway.scope cimport Peers
from tidegate.http.connection cimport Connection
from tidegate.http.defaults cimport ResponseDefaults
from tidegate.http.head cimport RequestHead
from tidegate.http1.connection cimport H1Connection, H1Limits
from tidegate.net.timers cimport TimedWire, TimerWheel

cdef double NEVER, UNSET, MIN_IDLE, COPY_DELAY
cdef Py_ssize_t MAX_FILE_TURN, COPY_SIZE, DEFAULT_WRITE_BUFFER
cdef int OPEN, CLOSING, LINGERING, LOST


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


cdef class TCPProtocol(TimedWire):
    cdef Acceptor _acceptor
    cdef object _server
    cdef object _origin
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
    cdef bint _flushing
    cdef object _local_size
    cdef bint _secure
    cdef Py_ssize_t _redirect_port
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
    @cython.locals(written=Py_ssize_t)
    cpdef object data_received(self, bytes data)
    cdef object _look_for_reset(self)
    cdef object _begin_http2(self, bytes data)
    @cython.locals(acceptor=Acceptor, gateway=Gateway, peers=Peers, handler=Exchange)
    cpdef object open_handler(self, object stream, RequestHead head)
    cdef Peers _find_peers(self)
    cdef void _reset(self) except *
    cdef void _close_secure(self, bint linger) except *
    cdef void _end_secure(self) except *
    cdef Py_ssize_t _unsent(self) except -1
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
    cdef public bint encrypting
    cdef public bint scheduled
