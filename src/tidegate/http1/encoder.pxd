from tidegate.http.defaults cimport ResponseDefaults
from tidegate.http.head cimport ResponseHead

cdef dict STATUS_LINES

cpdef bytes encode_head(ResponseHead head, bytes framing, ResponseDefaults defaults)
cpdef bytes encode_interim(int status, list fields)
cpdef bytes encode_trailers(list fields)
cpdef bytes encode_error(object error, bint with_content, ResponseDefaults defaults)
