"""Requests lost while workers are replaced: the same load and the same events for Tidegate and its peers."""
