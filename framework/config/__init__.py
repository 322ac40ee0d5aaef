"""Hydra and nothing else: entry points, checks of options, variants by name."""
