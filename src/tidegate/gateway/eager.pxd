cimport cython

cdef bint NATIVE
cdef object Task, _all_tasks
cdef dict _current_tasks


cdef class FirstStep:
    cdef public object task


cdef class EagerStarter:
    cdef object _loop
    cdef object _call_soon
    cdef object _caught
    cdef object _coroutine
    cdef object _step_type
    cdef object _catch
    cdef object _register
    cdef FirstStep _first_step
    cdef bint _catches
    cdef dict _attributes
    cdef dict _registry
    cdef set _listed

    @cython.locals(attributes=dict, registry=dict, listed=set, first_step=FirstStep)
    cpdef object start(self, object coroutine, object context)
