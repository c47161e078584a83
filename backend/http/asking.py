"""Routes of questions about the whole atlas; ``format=csv`` gives the table to take away."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response

from backend.core.errors import BadRequest
from backend.http import queries
from backend.http.answers import tagged_answer

if TYPE_CHECKING:
    from backend.service.backend import Backend


def add_questions(routes: Blueprint, backend: Backend) -> None:
    """Add the routes of genes, classes and sections over the whole atlas."""

    @routes.get("/api/gene_means")
    def gene_means() -> Response:
        gene, kind = queries.text("gene"), queries.text("kind", "")
        return answered(backend.gene_means(gene, kind, queries.text("by", "section")), gene)

    @routes.get("/api/top_genes")
    def top_genes() -> Response:
        queries.text("code")
        code = queries.whole("code", 0, 0, 100_000)
        limit = queries.whole("limit", 20, 1, 500)
        key = queries.layer()
        return answered(backend.top_genes(key, code, limit), f"{key.name}_{code}")

    @routes.get("/api/compositions")
    def compositions() -> Response:
        key = queries.layer()
        return answered(backend.compositions(key), key.name)

    def answered(found: dict[str, Any], name: str) -> Response:
        wanted = queries.text("format", "json")
        if wanted == "json":
            return tagged_answer(found)
        if wanted != "csv":
            raise BadRequest(f"There is no format '{wanted[:20]}'.", "Use json or csv.")
        answer = Response(backend.answer_table(found), mimetype="text/csv")
        file = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "answer"
        answer.headers["Content-Disposition"] = f'attachment; filename="{file}.csv"'
        answer.headers["Cache-Control"] = "no-store"
        return answer
