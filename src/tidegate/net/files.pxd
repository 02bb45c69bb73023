from tidegate.net.acceptor cimport AcceptedConnection

cdef Py_ssize_t MAX_TURN, COPY_SIZE
cdef double COPY_DELAY


cdef class FileTransfer:
    cdef public int descriptor
    cdef public Py_ssize_t offset
    cdef public Py_ssize_t count
    cdef public bint copying
    cdef public bint encrypting
    cdef public bint scheduled


cdef class FileSender:
    cdef AcceptedConnection _wire
    cdef object _transport
    cdef object _loop
    cdef bint _secure
    cdef FileTransfer _file
    cdef list _queue
    cdef object _socket
    cdef bint _writer_added

    cdef bint busy(self) noexcept
    cdef void send(self, bytes data, int descriptor, Py_ssize_t offset, Py_ssize_t count) except *
    cdef void enqueue(self, object item) except *
    cdef void resume(self) except *
    cdef void close(self) except *
    cdef void _start(self, bytes data, FileTransfer file) except *
    cdef bint _send_data(self, bytes data) except *
    cdef void _end(self) except *
    cdef void _remove_writer(self) except *
