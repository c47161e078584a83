"""FuseMap as published, so that results can be compared; nothing of the default mode is in it."""
