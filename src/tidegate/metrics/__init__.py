"""What is counted while requests are served: shared memory with one writer a process, read by whoever is asked."""
