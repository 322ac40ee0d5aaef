"""SAM2-family video object tracking in which the memory is a plug-in: the loop, and the rooms around it."""
