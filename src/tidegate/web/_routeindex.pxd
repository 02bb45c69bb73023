cimport cython


cdef class Node:
    cdef public dict literals
    cdef public Node dynamic
    cdef public list ends
    cdef public list rest
    cdef public tuple routes


cdef class Found:
    cdef public tuple routes
    cdef public list segments


cdef class RouteIndex:
    cdef public Node root
    cdef public dict static
    cdef public Py_ssize_t depth

    cpdef Found find(self, str path)

    @cython.locals(node=Node, segments=list, count=Py_ssize_t, index=Py_ssize_t, child=Node)
    cpdef Found walk(self, str path)

    @cython.locals(count=Py_ssize_t, found=list, nodes=list, following=list, node=Node, child=Node)
    cpdef Found walk_all(self, Node start, list segments, Py_ssize_t index)
