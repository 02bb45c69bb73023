cimport cython

from tidegate.gateway.application cimport Exchange, Gateway
from tidegate.gateway.scope cimport Peers
from tidegate.http.connection cimport Connection
from tidegate.http.head cimport RequestHead
from tidegate.http1.connection cimport H1Connection
from tidegate.net.acceptor cimport AcceptedConnection, Acceptor
from tidegate.net.files cimport FileSender

cdef double NEVER, UNSET
cdef Py_ssize_t DEFAULT_WRITE_BUFFER, FULL_READ
cdef double MAX_READ_TIME
cdef int OPEN, CLOSING, LINGERING, LOST


cdef class TCPProtocol(AcceptedConnection):
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
    cdef bytes _held
    cdef bint _paused
    cdef bint _resting
    cdef bint _flush_scheduled
    cdef bint _flushing
    cdef object _local_size
    cdef bint _secure
    cdef Py_ssize_t _redirect_port
    cdef double _linger_until
    cdef Py_ssize_t _written
    cdef Py_ssize_t _progress
    cdef double _stalled_since
    cdef FileSender _files

    @cython.locals(acceptor=Acceptor)
    cpdef object connection_made(self, object transport)
    @cython.locals(written=Py_ssize_t, begun=double)
    cpdef object data_received(self, bytes data)
    cdef object _look_for_reset(self)
    @cython.locals(acceptor=Acceptor, now=double)
    cdef void _begin(self) except *
    cdef object _begin_http2(self, bytes data)
    @cython.locals(acceptor=Acceptor, gateway=Gateway, peers=Peers, handler=Exchange)
    cpdef object open_handler(self, object stream, RequestHead head)
    cdef Peers _find_peers(self)
    cdef void _reset(self) except *
    cdef void _close_secure(self, bint linger) except *
    cdef void _end_secure(self) except *
    cdef Py_ssize_t _unsent(self) except -1
