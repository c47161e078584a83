"""Atlases as zarr arrays: one table of cells along one Z-curve, and what is kept beside it."""
