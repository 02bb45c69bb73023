cimport cython


@cython.locals(values=dict, index=Py_ssize_t, integer=bint, text=str)
cpdef object segment_params(object scope, list segments, tuple places)
