"""Drawn videos on which memory decides."""
