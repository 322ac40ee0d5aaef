"""What decides a result, and files that appear whole."""
