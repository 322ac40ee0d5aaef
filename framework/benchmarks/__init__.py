"""Public benchmarks: official scores, published tables, exports."""
