"""Training: the network, the write gate, the judge, the read gate."""
