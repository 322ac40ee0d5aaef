"""Entry points: one command each."""
