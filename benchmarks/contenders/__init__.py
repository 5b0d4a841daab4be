"""What is measured: one module a contender, each run in a process of its own.

A module defines ``Contender``: made from a :class:`~benchmarks.contenders.common.Job`, it has
``run(n)`` for n training steps and ``check`` for the comparison that precedes any timing.
"""
