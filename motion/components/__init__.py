"""What several motion models are built of."""
