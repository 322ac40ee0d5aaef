"""Training of the write gate and the judge on recorded rollouts."""
