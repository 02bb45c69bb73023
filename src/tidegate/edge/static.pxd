cimport cython

from tidegate.edge.answer cimport EdgeAnswer
from tidegate.edge.files cimport Representation, StaticFile
from tidegate.http.head cimport RequestHead, ResponseHead
from tidegate.http.stream cimport Stream

cdef bytes METHODS
cdef int REDIRECT


cdef class StaticExchange(EdgeAnswer):
    cdef StaticFile _file

    @cython.locals(file=StaticFile, method=str)
    cpdef void answer(self) except *
    cdef void _answer_method(self, str method) except *
    @cython.locals(accepted=bytes, ranges=bytes, conditional=bint, item=tuple, name=bytes, value=bytes, chosen=Representation)
    cdef void _answer_file(self, StaticFile file, str method) except *
    @cython.locals(head=ResponseHead)
    cdef void _answer_ranges(self, Representation chosen, bytes value) except *
    @cython.locals(head=ResponseHead, stream=Stream)
    cdef void _send_parts(self, Representation chosen, list ranges) except *
    cdef void _send_representation(self, Representation chosen, ResponseHead head) except *
    @cython.locals(stream=Stream, content=bytes)
    cdef void _send_part(self, Representation chosen, Py_ssize_t start, Py_ssize_t end, bint last) except *
