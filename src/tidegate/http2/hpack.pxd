cimport cython

from tidegate.http2.huffman cimport decode_huffman, encode_huffman, huffman_size

cdef Py_ssize_t DEFAULT_TABLE_SIZE, ENTRY_OVERHEAD, _STATIC_SIZE, _MAX_CONTINUATION, _INITIAL_SLOTS, _MAX_SEEN, _MAX_CACHED
cdef int _INDEXED, _UNINDEXED, _CACHED, _NEVER
cdef list _STATIC_TABLE, _STATUS_FIELDS
cdef dict _NAMES, _STATIC_INDEX, _STATIC_NAME, _POLICY
cdef bytes _COOKIE


cdef class DynamicTable:
    cdef readonly Py_ssize_t max_size, size, length, inserted
    cdef Py_ssize_t _mask
    cdef list _ring

    cpdef tuple get(self, Py_ssize_t index)

    @cython.locals(name=bytes, value=bytes, size=Py_ssize_t)
    cpdef bint add(self, tuple field) except -1

    cpdef resize(self, Py_ssize_t max_size)

    @cython.locals(slot=Py_ssize_t, field=tuple, name=bytes, value=bytes)
    cpdef shrink(self, Py_ssize_t size)

    cpdef evicted(self, tuple field, Py_ssize_t number)

    @cython.locals(fields=list, index=Py_ssize_t)
    cdef _grow(self)


@cython.final
cdef class Decoder:
    cdef readonly bint oversized
    cdef Py_ssize_t _max_table_size, _max_list_size, _max_fields, _limit, _position
    cdef DynamicTable _table
    cdef bint _update_due
    cdef bytes _block

    cpdef settings_acknowledged(self)

    @cython.locals(p="const unsigned char *", n=Py_ssize_t, table=DynamicTable, fields=list, room=Py_ssize_t,
                   count=Py_ssize_t, cookies=bint, updates_end=bint, first="unsigned char", index=Py_ssize_t,
                   field=tuple, name=bytes, value=bytes)
    cpdef list decode(self, bytes block)

    @cython.locals(size=Py_ssize_t)
    cdef _update_size(self)

    @cython.locals(index=Py_ssize_t, name=bytes, field=tuple)
    cdef bytes _name(self, Py_ssize_t prefix)

    @cython.locals(p="const unsigned char *", n=Py_ssize_t, i=Py_ssize_t, value=Py_ssize_t, shift=Py_ssize_t,
                   octet="unsigned char", high=Py_ssize_t)
    cdef Py_ssize_t _integer(self, Py_ssize_t prefix) except -1

    @cython.locals(p="const unsigned char *", n=Py_ssize_t, huffman=bint, length=Py_ssize_t, start=Py_ssize_t,
                   end=Py_ssize_t)
    cdef bytes _string(self)


cdef class _EncoderTable(DynamicTable):
    cdef dict fields, names

    @cython.locals(name=bytes)
    cpdef evicted(self, tuple field, Py_ssize_t number)


@cython.final
cdef class Encoder:
    cdef _EncoderTable _table
    cdef set _seen
    cdef list _cached
    cdef bint _update_due
    cdef Py_ssize_t _least_size
    cdef bytearray _out

    cpdef set_max_table_size(self, Py_ssize_t size)

    @cython.locals(out=bytearray, field=tuple)
    cpdef bytes encode_response(self, Py_ssize_t status, list fields)

    @cython.locals(out=bytearray, field=tuple)
    cpdef bytes encode(self, list fields)

    cdef _begin(self)

    @cython.locals(number=Py_ssize_t)
    cdef _encode_field(self, tuple field)

    @cython.locals(table=_EncoderTable, number=Py_ssize_t, index=Py_ssize_t, name=bytes, value=bytes, policy=int,
                   start=Py_ssize_t)
    cdef _encode_literal(self, tuple field)

    @cython.locals(size=Py_ssize_t, digest=Py_ssize_t)
    cdef bint _worth_indexing(self, tuple field) except -1

    @cython.locals(out=bytearray)
    cdef _integer(self, Py_ssize_t value, Py_ssize_t flags, Py_ssize_t prefix)

    @cython.locals(size=Py_ssize_t)
    cdef _string(self, bytes value)
