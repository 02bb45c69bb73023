cdef class ResponseDefaults:
    cdef bytes _server
    cdef public bint send_date
    cdef public list extra
    cdef list _fields
    cdef list _lines
    cpdef void set_date(self, bytes date) except *
    cpdef list fields(self, bint has_date, bint has_server)
    cpdef bytes lines(self, bint has_date, bint has_server)
