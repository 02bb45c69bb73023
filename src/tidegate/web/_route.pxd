from tidegate.web._response cimport body_message, sends_itself_whole, start_message
from tidegate.web._sendtracker cimport tracked
