cimport cython

from tidegate.edge.files cimport StaticFiles
from tidegate.edge.policy cimport Policies, Policy
from tidegate.gateway.application cimport Gateway
from tidegate.gateway.scope cimport Peers
from tidegate.http.head cimport RequestHead


cdef class Edge:
    cdef object _compression
    cdef StaticFiles _files
    cdef Policies _policies
    cdef readonly Py_ssize_t max_content

    @cython.locals(files=StaticFiles, policies=Policies, policy=Policy)
    cpdef object open_http(self, Gateway gateway, object stream, RequestHead head, Peers peers)
