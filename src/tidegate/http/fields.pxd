import cython

from tidegate.http.framing cimport parse_content_length
from tidegate.http.head cimport ResponseHead

cdef dict _KNOWN

cdef bytes _CONNECTION, _CONTENT_LENGTH, _DATE, _KEEP_ALIVE, _PROXY_CONNECTION, _SERVER, _TE, _TRANSFER_ENCODING, _UPGRADE

@cython.locals(p="const unsigned char *", token="const unsigned char *", i=Py_ssize_t, n=Py_ssize_t)
cpdef bint is_token(bytes value)

cpdef list list_members(bytes value)

@cython.locals(fields=list, field=tuple, name=bytes, length=Py_ssize_t)
cpdef response_fields(ResponseHead head, headers)

@cython.locals(p="const unsigned char *", allowed="const unsigned char *", i=Py_ssize_t, n=Py_ssize_t,
               name=bytes, value=bytes)
cpdef tuple checked_field(item)
