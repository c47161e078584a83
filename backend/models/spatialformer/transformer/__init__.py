"""The transformer of genes in cells: tokens, blocks, heads, losses, training and what it is asked.

SpatialFormer (bioRxiv v2, 12 February 2025). Written from the paper's equations; where its text and
its code differ, each file says which is followed and why.
"""
