"""The atlas on disk: zarr arrays, sorted along one curve, memory-mapped."""
