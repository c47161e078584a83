"""Preprocessing per kind of modality: raw counts to components, and the same for new spots.

The recipes are the reference's: RNA is scaled to 10,000 per spot, log1p, z-scored, PCA of highly
variable genes; proteins are centred-log-ratio transformed per spot (Seurat's variant), z-scored,
PCA; peaks are TF-IDF and SVD (LSI). Everything stays sparse; centring is implicit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_matrix, diags
from sklearn.utils.extmath import randomized_svd

from backend.core.data import Modality, ModalityKind
from backend.models.common.prep import gene_statistics, second_moment, weighted_product
from backend.models.common.variable import variable_genes

#: Total that every spot is scaled to, and scale of the logarithm of LSI.
TOTAL = 1e4
#: Genes and peaks seen in fewer spots are left out.
LEAST_SPOTS = 10
#: Highly variable genes that PCA sees.
VARIABLE_GENES = 3000
#: Spots from which loadings are learned where there are more.
SAMPLE = 20_000
Values: TypeAlias = "csr_matrix | NDArray[np.float32]"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How counts of one modality become components.

    Parameters
    ----------
    kind : str
    features : tuple of str
        Names of the p features used.
    mean, sd : (p,) float64
        Subtracted and divided by before the loadings are applied.
    loadings : (p, d) float64
    idf : (p,) float64
        Inverse document frequency of peaks; empty for others.
    standardised : bool
        LSI of the reference: components are z-scored per spot and the first is dropped.
    """

    kind: ModalityKind
    features: tuple[str, ...]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    loadings: NDArray[np.float64]
    idf: NDArray[np.float64]
    standardised: bool = False

    @property
    def width(self) -> int:
        """Number of components."""
        return self.loadings.shape[1] - int(self.standardised)


def fit_recipe(
    modality: Modality,
    components: int,
    seed: int,
    *,
    scaled: bool = True,
    least_spots: int | None = None,
    reference_lsi: bool = False,
) -> Recipe:
    """Return the recipe that a modality calls for, learned on the spots that have it.

    Parameters
    ----------
    modality : Modality
    components : int
        At most; fewer where there are fewer features.
    seed : int
        Draws the sample of spots where there are more than ``SAMPLE``, and starts the SVD of LSI.
    scaled : bool
        Whether features are z-scored before PCA.
    least_spots : int, optional
        Features seen in fewer spots are left out.
    reference_lsi : bool
        LSI as in the reference: one more component, z-scored per spot, the first dropped.
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(modality.present)
    raw = modality.values[rows]
    keep = _seen(raw, modality.kind, least_spots)
    if modality.kind == "rna" and len(keep) > VARIABLE_GENES:
        keep = keep[variable_genes(csr_matrix(raw[:, keep]), VARIABLE_GENES)]
    if len(rows) > SAMPLE:
        raw = modality.values[np.sort(rng.choice(rows, SAMPLE, replace=False))]
    features = tuple(modality.features[j] for j in keep)
    if modality.kind == "atac":
        return _fit_lsi(raw, keep, features, components, rng, reference_lsi)
    x = _transformed(raw, modality.kind)[:, keep]
    mean, sd = _statistics(x)
    sd = np.where(sd > 0, sd, 1.0) if scaled else np.ones_like(sd)
    return Recipe(
        modality.kind, features, mean, sd, _loadings(x, mean, sd, components), np.zeros(0)
    )


def apply_recipe(recipe: Recipe, modality: Modality) -> NDArray[np.float32]:
    """Return the components of all spots, (n, d) float32; zeros where the modality is missing.

    Parameters
    ----------
    recipe : Recipe
    modality : Modality
        Features are matched by name; those that are missing count as zero.
    """
    columns, target = _matched(recipe, modality)
    raw = modality.values
    if recipe.kind == "atac":
        scores = _lsi(_columns(raw, columns, target, len(recipe.features)), recipe)
    else:
        x = _columns(_transformed(raw, recipe.kind), columns, target, len(recipe.features))
        scores = weighted_product(x, recipe.mean, recipe.sd, recipe.loadings)
    scores[~modality.present] = 0.0
    return scores.astype(np.float32)


def normalised_rna(counts: Values) -> csr_matrix:
    """Return log1p of counts scaled to 10,000 per spot."""
    x = csr_matrix(counts, dtype=np.float32, copy=True)
    x = _scale_rows(x, TOTAL / np.maximum(np.asarray(x.sum(axis=1)).ravel(), 1e-12))
    x.data = np.log1p(x.data)
    return x


def centred_log_ratio(counts: Values) -> csr_matrix:
    """Return log(1 + x / g), g = exp(sum of log(1 + x) over the spot / number of proteins).

    Seurat's variant: the number of proteins counts those that are zero as well.
    """
    x = csr_matrix(counts, dtype=np.float32, copy=True)
    logs = x.copy()
    logs.data = np.log1p(logs.data)
    geometric = np.exp(np.asarray(logs.sum(axis=1)).ravel() / x.shape[1])
    x = _scale_rows(x, 1.0 / geometric)
    x.data = np.log1p(x.data)
    return x


def tf_idf(counts: Values, idf: NDArray[np.float64]) -> csr_matrix:
    """Return log(1 + 10,000 t), t = counts / row sum * idf, rows of t scaled to sum to 1."""
    x = csr_matrix(counts, dtype=np.float64, copy=True)
    x = csr_matrix(x @ diags(idf))
    total = np.asarray(x.sum(axis=1)).ravel()
    x = _scale_rows(x, TOTAL / np.where(total > 0, total, 1.0))
    x.data = np.log1p(x.data)
    return x


def _transformed(raw: Values, kind: ModalityKind) -> Values:
    if kind == "rna":
        return normalised_rna(raw)
    if kind == "protein":
        return centred_log_ratio(raw)
    return raw


def _scale_rows(x: csr_matrix, scale: NDArray[np.floating]) -> csr_matrix:
    """Multiply each row, in place."""
    x.data *= np.repeat(scale, np.diff(x.indptr)).astype(x.dtype)
    return x


def _seen(raw: Values, kind: ModalityKind, least: int | None) -> NDArray[np.int64]:
    """Return the features that vary and are seen in enough spots."""
    if kind in ("image", "other"):
        return np.flatnonzero(_statistics(raw)[1] > 0)
    default = 1 if kind == "protein" else min(LEAST_SPOTS, raw.shape[0] // 10 + 1)
    x = csr_matrix(raw)
    seen = np.bincount(x.indices[x.data > 0], minlength=x.shape[1])
    return np.flatnonzero((seen >= (default if least is None else least)) & (_statistics(x)[1] > 0))


def _statistics(x: Values) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation per column."""
    if isinstance(x, np.ndarray):
        return x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    return gene_statistics(csr_matrix(x))


def _loadings(
    x: Values, mean: NDArray[np.float64], sd: NDArray[np.float64], components: int
) -> NDArray[np.float64]:
    """Return exact principal directions, signed so that the largest entry of each is positive."""
    p = x.shape[1]
    count = min(components, p)
    moment = second_moment(csr_matrix(x), mean, sd)
    _, vectors = eigh(moment, subset_by_index=(p - count, p - 1))
    return _signed(vectors[:, ::-1])


def _signed(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    top = np.abs(vectors).argmax(axis=0)
    return vectors * np.sign(vectors[top, np.arange(vectors.shape[1])])


def _fit_lsi(
    raw: Values,
    keep: NDArray[np.int64],
    features: tuple[str, ...],
    components: int,
    rng: np.random.Generator,
    reference: bool,
) -> Recipe:
    """Learn latent semantic indexing; loadings are sqrt(n) V / s, so scores have unit scale."""
    x = csr_matrix(raw[:, keep], dtype=np.float64)
    idf = x.shape[0] / np.maximum(np.asarray(x.sum(axis=0)).ravel(), 1e-12)
    t = tf_idf(x, idf)
    count = min(components + int(reference), min(t.shape) - 1)
    seed = int(rng.integers(2**31))
    _, s, v = randomized_svd(t, max(count, 1), n_iter=7, random_state=seed)
    loadings = _signed(v.T) * np.sqrt(x.shape[0]) / np.maximum(s, 1e-12)
    # The first direction is mostly depth; centring, as PCA would, is left out by the reference.
    centre = np.zeros(len(keep)) if reference else np.asarray(t.mean(axis=0)).ravel()
    return Recipe("atac", features, centre, np.ones(len(keep)), loadings, idf, reference)


def _lsi(raw: csr_matrix, recipe: Recipe) -> NDArray[np.float64]:
    t = tf_idf(raw, recipe.idf)
    scores = weighted_product(t, recipe.mean, recipe.sd, recipe.loadings)
    if not recipe.standardised:
        return scores
    scores = scores - scores.mean(axis=1, keepdims=True)
    sd = scores.std(axis=1, ddof=1, keepdims=True)
    return (scores / np.where(sd > 0, sd, 1.0))[:, 1:]


def _matched(recipe: Recipe, modality: Modality) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return columns of the modality and their places in the recipe."""
    place = {name: j for j, name in enumerate(modality.features)}
    pairs = [(place[f], i) for i, f in enumerate(recipe.features) if f in place]
    columns, target = (np.array(part, np.int64) for part in zip(*pairs, strict=True))
    return columns, target


def _columns(
    x: Values, columns: NDArray[np.int64], target: NDArray[np.int64], width: int
) -> Values:
    """Return the columns in the order of the recipe, zero where one is missing."""
    if len(target) == width:
        return x[:, columns]
    place = csr_matrix(
        (np.ones(len(columns), np.float32), (np.arange(len(columns)), target)),
        shape=(len(columns), width),
    )
    return csr_matrix(csr_matrix(x[:, columns]) @ place)
