"""Sequences x trackers -> results on disk -> a comparison."""
