cimport cython

from tidegate.http.fields cimport is_token
from tidegate.http.framing cimport parse_content_length
from tidegate.http.head cimport RequestHead
from tidegate.http.target cimport is_authority

cdef int METHOD, PATH, SCHEME, AUTHORITY, PROTOCOL, PLAIN, HOST, LENGTH, COOKIE, TE, EXPECT, URGENCY, FORBIDDEN
cdef Py_ssize_t FIELD_OVERHEAD, MAX_LIST
cdef dict _KINDS, _METHODS
cdef bytes _HOST, _COOKIE, _TOKEN, _VALUE, _TARGET


@cython.final
cdef class RequestReader:
    cdef tuple _host
    cdef Py_ssize_t _max_target
    cdef public bytes priority
    cdef readonly bytes scheme

    @cython.locals(head=RequestHead, headers=list, field=tuple, name=bytes, value=bytes, kind=int, method=bytes,
                   path=bytes, scheme=bytes, authority=bytes, protocol=bytes, host=bytes, length=bytes, cookies=list,
                   cookie_at=Py_ssize_t)
    cpdef RequestHead receive(self, list fields, bint end_stream)
    @cython.locals(known=tuple, value=bytes)
    cdef object _take_authority(self, RequestHead head, bytes authority, bytes host)
    @cython.locals(name=str)
    cdef object _take_control_data(
        self, RequestHead head, bytes method, bytes scheme, bytes path, bytes protocol, bytes authority
    )
    @cython.locals(p="const unsigned char *", n=Py_ssize_t, table="const unsigned char *", question=Py_ssize_t,
                   encoded=bint, i=Py_ssize_t, kind=int, raw=bytes)
    cdef object _take_path(self, RequestHead head, bytes path)


@cython.locals(p="const unsigned char *", n=Py_ssize_t, token="const unsigned char *", i=Py_ssize_t)
cdef object check_name(bytes name)
@cython.locals(p="const unsigned char *", n=Py_ssize_t, allowed="const unsigned char *", i=Py_ssize_t)
cdef object check_value(bytes value)
@cython.locals(size=Py_ssize_t, name=bytes, value=bytes)
cpdef Py_ssize_t list_size(list fields) except -1
@cython.locals(trailers=list, field=tuple, name=bytes, value=bytes, kind=int)
cpdef list receive_trailers(list fields)
