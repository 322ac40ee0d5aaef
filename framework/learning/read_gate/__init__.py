"""Training of the read gate through memory attention."""
