"""One video as frames: files, folders, cameras, streams."""
