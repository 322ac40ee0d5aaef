"""One video in, masks out."""
