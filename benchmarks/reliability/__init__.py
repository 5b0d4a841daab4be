"""Scripts that break things on purpose, and count what survives."""
