"""Networks and videos that answer from a script."""
