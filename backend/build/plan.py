"""The plan of an atlas, made from a look at every file: sections, genes, ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from backend.core.errors import BadFile, BadRequest, Fault
from backend.intake.mapping import ReadMapping, safe_id
from backend.intake.read import FileScan, SectionScan
from backend.store.plan import one_species
from backend.store.slots import PlannedSection

#: Cells that make it worth while to open a file once more.
PART_CELLS = 250_000
#: Names of a species that mean the same.
SPECIES = {"mus musculus": "mouse", "homo sapiens": "human", "rattus norvegicus": "rat"}


class Part(NamedTuple):
    """Sections of one file that are written one after the other: id in the file to in the atlas."""

    path: Path
    mapping: ReadMapping
    ids: dict[str, str]


def parts_of(
    scans: Sequence[FileScan], ids: Sequence[dict[str, str]], pending: Collection[str]
) -> list[Part]:
    """Return the work that is left, in parts of at least ``PART_CELLS`` cells, largest first.

    Parameters
    ----------
    scans : sequence of FileScan
    ids : sequence of dict
        For each file, ids in the file to ids in the atlas.
    pending : collection of str
        Ids in the atlas.
    """
    wanted = set(pending)
    parts: list[tuple[int, Part]] = []
    for scan, names in zip(scans, ids, strict=True):
        left = [s for s in scan.sections if names[s.id] in wanted]
        for group in _groups(left):
            own = {section.id: names[section.id] for section in group}
            cells = sum(section.n_cells for section in group)
            parts.append((cells, Part(scan.path, scan.mapping, own)))
    return [part for _, part in sorted(parts, key=lambda p: -p[0])]


def _groups(sections: Sequence[SectionScan]) -> Iterator[list[SectionScan]]:
    """Yield runs of sections of at least ``PART_CELLS`` cells; the last may have fewer."""
    group: list[SectionScan] = []
    for section in sections:
        group.append(section)
        if sum(s.n_cells for s in group) >= PART_CELLS:
            yield group
            group = []
    if group:
        yield group


def union_genes(scans: Sequence[FileScan]) -> tuple[list[str], list[str]]:
    """Return the symbols of all files, sorted, and their Ensembl ids.

    Symbols that differ in case only are one gene, spelt as most files spell it.
    """
    spellings: dict[str, Counter[str]] = {}
    ensembl: dict[str, str] = {}
    for scan in scans:
        for symbol, gene_id in scan.genes.items():
            spellings.setdefault(symbol.casefold(), Counter())[symbol] += 1
            ensembl[symbol.casefold()] = ensembl.get(symbol.casefold()) or gene_id
    best = {
        key: min(counts, key=lambda s: (-counts[s], s.isupper(), s))
        for key, counts in spellings.items()
    }
    keys = sorted(best, key=lambda key: (best[key].casefold(), best[key]))
    return [best[key] for key in keys], [ensembl[key] for key in keys]


def plan_sections(scans: Sequence[FileScan]) -> tuple[list[PlannedSection], list[dict[str, str]]]:
    """Return the sections to write, and for each file its ids: in the file to in the atlas.

    An id that several files use is preceded by the name of its data set.

    Raises
    ------
    BadRequest
        If sections are of several species, or ids stay ambiguous.
    """
    used = Counter(section.id for scan in scans for section in scan.sections)
    planned, names = [], []
    for scan in scans:
        ids = {}
        for section in scan.sections:
            twice = used[section.id] > 1
            prefix = str(section.fields["dataset"])
            ids[section.id] = safe_id(f"{prefix}_{section.id}") if twice else section.id
            plan = PlannedSection(
                id=ids[section.id],
                n_cells=section.n_cells,
                extent=section.extent,
                **section.fields,
            )
            planned.append(replace(plan, species=_species(plan.species)))
        names.append(ids)
    _check(planned)
    return planned, names


def scale_of(scans: Sequence[FileScan]) -> NDArray[np.float32] | None:
    """Return the step of each dimension of the embeddings that files bring along, or None.

    Raises
    ------
    BadRequest
        If they differ in their number of dimensions.
    """
    known = [(scan.path.name, scan.reach) for scan in scans if scan.reach is not None]
    if not known:
        return None
    examples = {len(reach): name for name, reach in known}
    if len(examples) > 1:
        told = ", ".join(f"{d} in {name}" for d, name in sorted(examples.items()))
        raise BadRequest(
            f"The embeddings differ in their number of dimensions: {told}.",
            "Embed all sections by one model, or name no embedding for the others.",
        )
    reach = np.max([reach for _, reach in known], axis=0)
    return np.asarray(np.maximum(reach, 1e-6) / 127, dtype=np.float32)


def _species(name: str) -> str:
    return SPECIES.get(name.lower(), name.lower())


def _check(planned: Sequence[PlannedSection]) -> None:
    one_species(planned)
    twice = [name for name, n in Counter(s.id for s in planned).items() if n > 1]
    if twice:
        raise BadRequest(
            f"{len(twice)} section ids occur more than once, such as '{twice[0]}'.",
            "Give the sets an id template or data set names of their own.",
        )


def raise_together(errors: Sequence[BadFile]) -> None:
    """Raise what is wrong with all files at once."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        faults = [
            Fault(f.what, f"{error.name}, {f.where}", f.expected, f.remedy)
            for error in errors
            for f in error.faults
        ]
        raise BadFile(f"{len(errors)} files", faults)
