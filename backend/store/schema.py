"""The format on disk: version, names of arrays, chunk sizes. Said once, read by all of the store.

Root attributes: ``format``, ``format_version``, ``name``, ``version``, ``simulated``,
``world_um``, ``grid_level``, ``created``, ``provenance``, ``sections`` and ``arrays``. The last
maps the logical names below to folders inside the store; a result is written into new folders and
becomes visible when the root attributes are replaced, in one rename.

Version 2 keeps, for every label and overview level, the bins that hold each category
(``pyramid/<level>/label/<name>/bins/``). Atlases of version 1 are read as well; what they lack is
drawn from their cells.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

from backend.core.layers import LayerKey

FORMAT = "molccf-atlas"
FORMAT_VERSION = 2
#: Format versions that can be read.
READABLE = (1, 2)

#: Rows per inner chunk of arrays that tiles read.
CHUNK_ROWS = 16_384
#: Values per chunk, and chunks per shard, of expression arrays.
EXPRESSION_CHUNK = 65_536
EXPRESSION_SHARD = 64

MORTON = "cells/morton"
XY = "cells/xy"
XYZ = "cells/xyz"
NAME_BYTES = "cells/name/bytes"
NAME_OFFSET = "cells/name/offset"
GENES = "genes"
GENE_EMBEDDING = "genes/embedding"
GENE_OFFSET = "genes/offset"
GENE_TRUST = "genes/trust"
#: Surface and labelled voxels of the reference that common coordinates are of.
OUTLINE = "space/outline"
VOLUME = "space/labels"
GENE_TABLES = (GENE_EMBEDDING, GENE_OFFSET, GENE_TRUST)

#: Kinds of layers stored as numbers per cell.
NUMBER_KINDS = ("confidence", "weight", "factor", "score")
#: Embeddings an atlas may hold.
EMBEDDINGS = ("cell", "niche")

#: First atlas level of the pyramid: tiles have 2**8 pixels per side.
TILE_BITS = 8
#: A level is kept while its densest tile holds more cells than this.
DENSE_TILE = 250_000
#: Levels that every atlas above DENSE_TILE cells has.
ALWAYS_LEVELS = (8, 9, 10)
#: Categories kept per bin and label.
TOP = 3


@lru_cache(maxsize=256)
def label_array(name: str) -> str:
    """Return the logical name of a label's codes."""
    return f"cells/label/{quote(name, safe='')}"


@lru_cache(maxsize=256)
def number_array(key: LayerKey) -> str:
    """Return the logical name of a numeric layer."""
    return f"cells/number/{key.kind}/{quote(key.name, safe='')}"


def embedding_array(name: str) -> str:
    """Return the logical name of an embedding of cells."""
    return f"cells/embedding/{name}"


def expression_group(section: str) -> str:
    """Return the folder of a section's counts."""
    return f"expression/{section}"


def pyramid_array(level: int, name: str) -> str:
    """Return the logical name of an array of a pyramid level."""
    return f"pyramid/{level}/{name}"


def layout_array(layout: str, name: str) -> str:
    """Return the logical name of an array of another plane of the same cells."""
    return f"layouts/{quote(layout, safe='')}/{name}"
