"""What several memory policies are built of."""
