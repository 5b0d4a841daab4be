"""Scripts that break things and count: ``python -m benchmarks.reliability.NAME``."""
