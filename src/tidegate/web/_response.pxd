cimport cython


cpdef dict start_message(object response)
cpdef dict body_message(object response, scope)
cpdef bint sends_itself_whole(object response)
