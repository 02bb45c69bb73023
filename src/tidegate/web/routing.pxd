from tidegate.web._path cimport segment_params
from tidegate.web._routeindex cimport Found, RouteIndex
