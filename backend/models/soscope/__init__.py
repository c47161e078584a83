"""soScope: subspots between spots, with an image where it helps."""
