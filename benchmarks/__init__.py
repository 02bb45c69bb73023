"""Compares Tidegate with its peers: `python -m benchmarks --help`, docs/benchmarks.md."""
