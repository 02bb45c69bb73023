cimport cython


cdef class Node:
    cdef public dict literals
    cdef public Node dynamic
    cdef public list ends
    cdef public list rest


cdef class RouteIndex:
    cdef public Node root
    cdef public dict static
    cdef public Py_ssize_t depth

    @cython.locals(found=tuple)
    cpdef tuple candidates(self, str path)

    @cython.locals(root=Node, segments=list, count=Py_ssize_t, index=Py_ssize_t, found=list, nodes=list,
                   following=list, node=Node, child=Node)
    cpdef tuple walk(self, str path)
