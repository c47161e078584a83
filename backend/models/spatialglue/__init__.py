"""SpatialGlue: domains and modality weights of spatial multi-omics."""
