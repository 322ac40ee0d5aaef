"""Numbers that learned memory policies look at."""
