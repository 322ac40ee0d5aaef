"""Motion models, one file each."""
