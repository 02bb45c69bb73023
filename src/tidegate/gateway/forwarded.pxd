cimport cython

from tidegate.gateway.scope cimport Peers
from tidegate.http.head cimport RequestHead
from tidegate.http.target cimport decode_path, is_authority

cdef bytes FORWARDED, FOR, PROTO, HOST, PORT, PREFIX, _HOST_FIELD, _MAPPED


cdef class TrustedPeers:
    cdef bint _everybody
    cdef bint _unix
    cdef set _addresses
    cdef list _networks

    @cython.locals(octets=bytes)
    cpdef bint trusts(self, object host) except *


cdef class Forwarding:
    cdef TrustedPeers _trusted
    cdef bint _node
    cdef bint _proto
    cdef bint _host
    cdef bint _port
    cdef bint _prefix
    cdef bint _forwarded

    cpdef bint trusts(self, object host) except *
    @cython.locals(item=tuple, name=bytes, value=bytes, node=bytes, proto=bytes, host=bytes, port=bytes, prefix=bytes,
                   forwarded=list, hop=Py_ssize_t, scheme=str)
    cpdef Peers peers(self, RequestHead head, Peers peers)
    @cython.locals(end=Py_ssize_t, start=Py_ssize_t, hop=Py_ssize_t, text=bytes, client=tuple)
    cdef tuple _walk(self, bytes value, tuple client)
    @cython.locals(hop=Py_ssize_t, parameters=dict, found=dict)
    cdef tuple _walk_forwarded(self, list lines, tuple client)


cpdef bytes packed(str host)

@cython.locals(octets=bytes, name=str)
cpdef tuple parse_node(bytes text)

@cython.locals(p="const unsigned char *", c="unsigned char", i=Py_ssize_t, n=Py_ssize_t, elements=list, found=dict)
cpdef list parse_forwarded(bytes line)

@cython.locals(elements=list, count=Py_ssize_t)
cpdef bytes element(bytes value, Py_ssize_t hop)

cdef object _set_host(RequestHead head, bytes host, bytes port, str scheme)
