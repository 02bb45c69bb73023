"""The admin address: what a server counts, told over HTTP by a thread of its own."""
