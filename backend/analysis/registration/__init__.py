"""Common coordinates: sections in order along an axis, and each placed in a reference brain.

FuseMap (He et al. 2024, Methods, "Pipeline to build the molecular brain CCF") orders sections by
their composition of molecular regions, pairs each with a slice of the Allen CCFv3, and fits an
affine from four anchors that follow two manual clicks, then refines it by iterative closest points
on the outline.

Deviations
----------
No clicks: all turns and both faces are tried from the moments of the tissue. Region labels join
the outline (closest points are looked for inside the same region, in both directions), scale is
known and bounded, a smooth displacement without folds follows the affine, and the slice is looked
for along the axis. Scores and refusals say how far a placement can be trusted.
"""
