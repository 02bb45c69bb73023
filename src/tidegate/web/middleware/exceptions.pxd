from tidegate.web._sendtracker cimport enter_inner
