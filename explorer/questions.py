"""Questions about a whole atlas as they stand in the link: which one, of what, told how."""

from __future__ import annotations

import shlex
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

#: What can be asked: in the link, and in words.
ABOUT = (
    ("gene", "Where is a gene highest?"),
    ("class", "What marks a class?"),
    ("sections", "What are sections made of?"),
)


class Question(NamedTuple):
    """One question.

    Parameters
    ----------
    about : "gene", "class" or "sections"
    gene : str
        Symbol; for ``gene``.
    kind : "measured", "imputed" or ""
        Measured where any section measured the gene, if empty.
    by : str
        "section" or a label such as "label:region"; for ``gene``.
    label : str
        Label of the class, or whose classes are counted in sections.
    code : int
        Class; for ``sections`` the one that sections are sorted by, -1 for none.
    """

    about: str = "gene"
    gene: str = ""
    kind: str = ""
    by: str = ""
    label: str = ""
    code: int = -1

    def __str__(self) -> str:
        """Return the text of the question in the link; undone by ``parse``."""
        told = {"q": self.about, **{f: v for f, v in self._asdict().items() if f != "about"}}
        return urlencode({f: v for f, v in told.items() if v not in ("", -1)})

    @classmethod
    def parse(cls, text: str) -> Question:
        """Return the question that a link spells; what cannot be meant is left open."""
        told = dict(parse_qsl(text))
        code = told.get("code", "")
        about = told.get("q", "gene")
        return cls(
            about if about in dict(ABOUT) else "gene",
            told.get("gene", "")[:80],
            told.get("kind", "") if told.get("kind") in ("measured", "imputed") else "",
            told.get("by", "")[:80],
            told.get("label", "")[:80],
            int(code) if code.isdecimal() and len(code) < 6 else -1,
        )

    def command(self, name: str) -> str:
        """Return the command line that answers it; ``name`` is that of the class."""
        words = ["python", "-m", "backend", "ask", "ATLAS.zarr"]
        if self.about == "gene":
            words += ["gene", self.gene, "--by", self.by.removeprefix("label:")]
            words += ["--kind", self.kind] if self.kind else []
        elif self.about == "class":
            words += [self.label.removeprefix("label:"), name]
        else:
            words += ["composition", "--label", self.label.removeprefix("label:")]
        return shlex.join(words)

    def address(self) -> str:
        """Return the route that gives the answer as CSV."""
        route, told = "compositions", {"layer": self.label}
        if self.about == "gene":
            route, told = "gene_means", {"gene": self.gene, "kind": self.kind, "by": self.by}
        elif self.about == "class":
            route = "top_genes"
            told = {"layer": self.label, "code": str(self.code), "limit": "500"}
        return f"/api/{route}?{urlencode({**told, 'format': 'csv'})}"
