"""Tables of ligands and receptors: CellChatDB, CellTalkDB, OmniPath and LIANA, or any two columns.

CellChatDB (Jin et al. 2021, 2025) lists subunits as "Tgfbr1, Tgfbr2"; OmniPath and LIANA
(Dimitrov et al. 2022) as "ITGA8_ITGB1", many resources in one table; CellTalkDB (Shao et al.
2021) single genes.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from backend.core.errors import BadFile, BadRequest, Fault

#: Names of the two columns, the first pair that a table has is read.
COLUMNS = (
    ("ligand.symbol", "receptor.symbol"),
    ("ligand_gene_symbol", "receptor_gene_symbol"),
    ("source_genesymbol", "target_genesymbol"),
    ("ligand", "receptor"),
)
#: Resources of a LIANA table that are read where none is named, the first that is there.
RESOURCES = ("mouseconsensus", "consensus")
#: Endings of files that are offered as tables.
ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
MOST_PAIRS = 50_000
_APART = re.compile(r"\s*[,+&]\s*")


class LigandPair(NamedTuple):
    """A ligand and a receptor, each one gene or the subunits of a complex; pathway may be empty."""

    ligand: tuple[str, ...]
    receptor: tuple[str, ...]
    pathway: str


def list_tables(folder: Path) -> list[str]:
    """Return the names of the tables in a folder; none where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.name.endswith(ENDINGS) and p.is_file())


def table_in(folder: Path, name: str) -> Path:
    """Return a table of a folder by its name; the first one where the name is empty.

    Raises
    ------
    BadRequest
        If there is none, or none of this name.
    """
    known = list_tables(folder)
    if not known:
        raise BadRequest(
            "There is no table of ligand-receptor pairs on this server.",
            "Put CellChatDB, CellTalkDB, OmniPath or any csv with the columns ligand and receptor "
            "into the folder 'pairs' of the data folder.",
        )
    if name and name not in known:
        raise BadRequest(f"There is no table '{name[:60]}'.", f"Tables are {', '.join(known)}.")
    return folder / (name or known[0])


def read_pairs(path: Path, has: Callable[[str], bool], resource: str = "") -> list[LigandPair]:
    """Return the pairs of a table, each once, in its order.

    Parameters
    ----------
    path : Path
        .csv or .tsv, also gzipped; lines that begin with # are passed over.
    has : callable (str) -> bool
        Whether a gene is known: a name with "_" is one gene where it is, else subunits.
    resource : str
        Rows of a table with a column ``resource`` to read; see ``RESOURCES`` where empty.

    Raises
    ------
    BadFile, BadRequest
    """
    if not path.is_file():
        raise BadRequest(f"There is no table '{path}'.", "Give a csv of ligands and receptors.")
    try:
        with _opened(path) as file:
            lines = [line for line in file if not line.startswith("#")]
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise _bad(path, f"cannot be read as text ({error})") from error
    rows = list(csv.DictReader(lines, delimiter="\t" if ".tsv" in path.name else ","))
    names = [c for c in COLUMNS if rows and c[0] in rows[0] and c[1] in rows[0]]
    if not names:
        raise _bad(path, "there are no columns of ligands and receptors")
    found = dict.fromkeys(_pairs(_of_resource(rows, resource), names[0], has))
    if len(found) > MOST_PAIRS:
        raise _bad(path, f"there are {len(found):,} pairs")
    return list(found)


def _opened(path: Path) -> TextIO:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _of_resource(rows: Sequence[Mapping[str, str]], resource: str) -> list[Mapping[str, str]]:
    if "resource" not in rows[0]:
        return list(rows)
    have = {row["resource"] for row in rows}
    wanted = resource or next((r for r in RESOURCES if r in have), "")
    if wanted and wanted not in have:
        raise BadRequest(
            f"The table has no resource '{wanted[:40]}'.", f"It has {', '.join(sorted(have))}."
        )
    return [row for row in rows if not wanted or row["resource"] == wanted]


def _pairs(
    rows: Sequence[Mapping[str, str]], columns: tuple[str, str], has: Callable[[str], bool]
) -> Iterator[LigandPair]:
    for row in rows:
        ligand, receptor = (subunits(row[c] or "", has) for c in columns)
        if ligand and receptor:
            yield LigandPair(ligand, receptor, row.get("pathway_name") or "")


def subunits(text: str, has: Callable[[str], bool]) -> tuple[str, ...]:
    """Return the genes of a ligand or receptor; "_" parts them unless the whole is a gene."""
    parts = [p for p in _APART.split(text.strip()) if p]
    if len(parts) == 1 and not has(parts[0]):
        parts = [p for p in parts[0].split("_") if p]
    return tuple(parts)


def _bad(path: Path, what: str) -> BadFile:
    expected = "; or ".join(" and ".join(pair) for pair in COLUMNS)
    fault = Fault(what, "the table", f"columns {expected}", "Rename the columns, or save as csv.")
    return BadFile(path.name, [fault])
