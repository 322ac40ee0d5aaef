"""Training of an embedded network from nothing."""
