"""Scores from numbers: one file per family of benchmarks, numpy in and plain numbers out."""
