cimport cython

from tidegate.http.stream cimport Stream

cdef int DEFAULT_URGENCY, _URGENCIES
cdef dict _COMMON

cpdef tuple parse_priority(bytes value)


cdef class ScheduledStream(Stream):
    cdef readonly Py_ssize_t stream_id
    cdef public int urgency, incremental
    cdef readonly bint scheduled
    cdef ScheduledStream _next, _previous


@cython.final
cdef class Scheduler:
    cdef list _one_by_one, _taking_turns
    cdef bint _turn

    @cython.locals(urgency=int, first=ScheduledStream, behind=ScheduledStream, before=ScheduledStream)
    cpdef void add(self, ScheduledStream stream) except *

    @cython.locals(following=ScheduledStream, previous=ScheduledStream, lists=list)
    cpdef void remove(self, ScheduledStream stream) except *

    cpdef void reprioritise(self, ScheduledStream stream, int urgency, int incremental) except *

    @cython.locals(urgency=int, stream=ScheduledStream, first=ScheduledStream)
    cpdef ScheduledStream next(self)
