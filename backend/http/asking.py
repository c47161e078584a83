"""Routes of questions about the whole atlas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response

from backend.http import queries
from backend.http.answers import tagged_answer

if TYPE_CHECKING:
    from backend.service.backend import Backend


def add_questions(routes: Blueprint, backend: Backend) -> None:
    """Add the routes of genes, classes and sections over the whole atlas."""

    @routes.get("/api/gene_means")
    def gene_means() -> Response:
        gene, kind = queries.text("gene"), queries.text("kind", "")
        return tagged_answer(backend.gene_means(gene, kind, queries.text("by", "section")))

    @routes.get("/api/top_genes")
    def top_genes() -> Response:
        queries.text("code")
        code = queries.whole("code", 0, 0, 100_000)
        limit = queries.whole("limit", 20, 1, 500)
        return tagged_answer(backend.top_genes(queries.layer(), code, limit))

    @routes.get("/api/compositions")
    def compositions() -> Response:
        return tagged_answer(backend.compositions(queries.layer()))
