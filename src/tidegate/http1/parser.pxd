import cython

from tidegate.http.fields cimport is_token, list_members
from tidegate.http.framing cimport parse_content_length
from tidegate.http.head cimport RequestHead
from tidegate.http.target cimport decode_path, is_authority
from tidegate.http1.section cimport FieldSection

cdef bytes _CONNECTION, _CONTENT_LENGTH, _EXPECT, _HOST, _SEC_FETCH_MODE, _TE, _TRANSFER_ENCODING, _UPGRADE
cdef object _FORWARDED_FIELDS
cdef str HTTP_1_1
cdef bytes _TOKEN, _TARGET
cdef dict _METHODS
cdef tuple _VERSION
cdef Py_ssize_t _MAX_METHOD
cdef RequestHead _NONE
cdef int _IN_METHOD, _IN_TARGET, _IN_VERSION

cdef class HeadParser:
    cdef public RequestHead head
    cdef public bint started
    cdef Py_ssize_t _max_request_line, _max_head
    cdef FieldSection _section
    cdef bytes _host, _authority
    cdef int _blank, _phase
    cdef bint _in_fields
    cdef bytearray _partial
    cdef Py_ssize_t _count

    cpdef reset(self)
    cpdef RequestHead begun(self)
    cpdef forget(self)

    @cython.locals(i=Py_ssize_t)
    cpdef Py_ssize_t receive(self, bytes data, Py_ssize_t start) except? -1

    @cython.locals(p="const unsigned char *", i=Py_ssize_t, n=Py_ssize_t)
    cdef Py_ssize_t _skip_blank_line(self, bytes data, Py_ssize_t start) except -1

    @cython.locals(room=Py_ssize_t, limit=Py_ssize_t, end=Py_ssize_t, line=bytes)
    cdef Py_ssize_t _receive_request_line(self, bytes data, Py_ssize_t start) except? -1

    @cython.locals(i=Py_ssize_t, c="unsigned char", allowed=bytes)
    cdef _check_unfinished(self, bytes data, Py_ssize_t start, Py_ssize_t limit)

    @cython.locals(p="const unsigned char *", token="const unsigned char *", table="const unsigned char *",
                   i=Py_ssize_t, end=Py_ssize_t, question=Py_ssize_t, after=Py_ssize_t, kind="unsigned char",
                   encoded=bint, raw=bytes, target=bytes, method=str, version=str, minor=int, head=RequestHead)
    cdef Py_ssize_t _parse_request_line(self, bytes data, Py_ssize_t start, Py_ssize_t limit) except? -1

    cdef Py_ssize_t _parse_version(self, bytes data, Py_ssize_t start, Py_ssize_t limit) except? -1

    cdef _other_form(self, RequestHead head)

    @cython.locals(head=RequestHead, fields=list, options=list, protocols=list, name=bytes, value=bytes, host=bytes,
                   connection=bytes, codings=bytes, length=bytes, upgrade=bytes, expect=bytes, te=bytes,
                   persistent=bint, forwarded=bint)
    cdef _finish(self)

    cdef _take_host(self, RequestHead head, bytes host)
