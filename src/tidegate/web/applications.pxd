from tidegate.web._sendtracker cimport SendTracker, enter
