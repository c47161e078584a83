"""SpatialFormer: which cells lie beside which, which niche a cell is in, which genes decide it."""
