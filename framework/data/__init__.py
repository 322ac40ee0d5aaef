"""Frames and truth: sequences, prompts, and where they come from."""
