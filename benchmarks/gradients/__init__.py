"""What ``benchmarks.checkers`` lets gradient checkers judge: real bugs, right functions, rivals."""
