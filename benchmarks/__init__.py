"""Scripts that measure: ``python -m benchmarks.NAME``; each says how long it takes."""
