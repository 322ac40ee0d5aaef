"""Numbers that the learned judge looks at."""
