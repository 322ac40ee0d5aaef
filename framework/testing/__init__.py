"""What every plug-in owes, and a made-up video to see whether it gives it."""
