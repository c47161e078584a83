"""All routes of the web process, as one blueprint.

Every error has one shape, ``{"error": "UnknownGene", "message": "...", "hint": ["..."]}``; a
refused file adds ``"faults": [{what, where, expected, remedy}]``. Statuses: 400 unreadable
parameter or body, 404 unknown thing, 409 wrong upload offset or unfinished job, 413 too large,
422 a file or section that cannot be used, 429 quota (with Retry-After), 500 our fault (with an id).

Reading (``ETag`` by atlas version, 304 on ``If-None-Match``)
---------------------------------------------------------------------------------------------------
GET /healthz                     {"ok": true, "name", "version",
                                  "queue": {"queued", "running", "worker_seconds_ago" | null}}
GET /api/atlas                   Backend.atlas_info()
GET /api/sections                {"sections": Backend.sections()}
GET /api/sections/<section>      one of them; query-<job> too
GET /api/space[?section=query-<job>][&layer=label:region][&n=20000][&seed=]
                                 common coordinates: {name, axes, unit, licence, sections: [{id,
                                  title, dataset, status: registered|refused, reason, plane,
                                  position_um, position_range_um, part, grade, dice, agreement:
                                  {start, affine, smooth}, off_um, landmark_um, consistency_um,
                                  jacobian, label, n_labelled, n_regions, corrected, correction,
                                  held_out}]};
                                 with a label also points: {layer, xyz: [[AP, DV, ML]] um, codes,
                                  sections (places in /api/sections), categories, outline,
                                  n_placed, seed}, at most 50,000, sampled by class, seeded;
                                 each entry of /api/sections has ``registered``: {status, reason,
                                  plane, position_um, part, grade, dice, agreement} or null
GET /api/genes?q=[&limit=&section=]   {"genes": [...]}                   limit 20, at most 200
GET /api/layers?section=         {"section", "layers": [LAYER]}
GET /api/layer?section=&layer=   LAYER                                   also imputed:<gene>
GET /api/search?q=&section=&limit=   {"regions": [...], "types": [...], "genes": [...], "nearest"}
GET /api/legend?section=&layer=[&view=left,top,right,bottom]
                                 {"section", "layer", "title", "total", "missing",
                                  "categories": [{code, name, colour, parent, count}]}
GET /api/composition?section=&layer=[&within=label:region&code=3]
                                 {"section", "layer", "within", "classes": [{code, name, colour,
                                  parent, count}]}                       most first
GET /api/means?section=&layer=&label=label:type
                                 {"section", "layer", "label", "classes": [{code, name, colour,
                                  mean, n}]}                             highest first
GET /api/histogram?section=&layer=   {"section", "layer", "unit", "span": [lo, hi],
                                  "edges": [n+1], "counts": [n], "n_zero", "n_missing"}
GET /api/anchors?section=&layer= {"anchors": [{name, x, y, n, lng, lat}]}   x, y: um, atlas plane
GET /api/cell/<section>/<row>[?layer=]   Backend.cell(...)
GET /api/pick?section=&x=&y=[&layer=]    {"section", "row": n | null, "cell": {...} | null}
                                 x, y: um of the section's own coordinates (``atlas``: atlas plane)
GET /api/download?section=&layer=&format=csv     streamed CSV, one line per cell
GET /api/figure.png?section=&layer=[&palette=&lo=&hi=&width=&only=]     PNG with legend, scale bar
GET /tiles/<section>/<layer>/<z>/<x>/<y>.png?palette=&lo=&hi=&size=&only=1,2&least=&v=
                                 PNG; immutable when v is the ``edition`` of the atlas or query
                                 (of /api/atlas, /api/sections/<section>), else no-cache

LAYER = {key, kind, name, title, unit, span: [lo, hi] | null, version, provenance,
         categories: [{code, name, colour, parent}],
         trust: {figure, baseline, measure, baseline_name, how, grade} | null}

Questions about the whole atlas (exact; imputed means from sums of embeddings per section and class)
---------------------------------------------------------------------------------------------------
GET /api/gene_means?gene=[&kind=measured|imputed][&by=section|label:region]
                                 {gene, kind, by, title, unit, mean, n, n_sections, few,
                                  left_out: [{why, n_sections}], trust | null, entries}
                                 entries of a label:   {code, name, colour, parent, mean, n}
                                 entries of sections:  {id, name, dataset, position, unit,
                                                        comparable, mean, n}
                                 highest first; those of fewer than ``few`` cells last
GET /api/top_genes?layer=label:region&code=[&limit=20]
                                 {layer, code, name, colour, kind: "imputed", unit, n, n_sections,
                                  n_genes, against, genes: [{gene, mean, atlas_mean, difference,
                                  trust: r | null}]}
GET /api/compositions?layer=label:class
                                 {layer, title, unit: "cells",
                                  classes: [{code, name, colour, parent, count}],
                                  sections: [{id, name, dataset, position, n, missing, codes: [...],
                                  counts: [...]}]}          classes without cells are left out

Selections (POST, JSON body)
---------------------------------------------------------------------------------------------------
POST /api/select    {"section", "polygon": [[x, y], ...]}                 Backend.select(...)
POST /api/compare   {"a": SELECTION, "b": SELECTION, "limit": 50}         Backend.compare(...)
SELECTION = {"section", "polygon": [[x, y], ...]} or {"section", "layer": "label:type", "code": 3}

Uploads (of the session that made them)
---------------------------------------------------------------------------------------------------
POST   /api/uploads {"name": "q.h5ad", "size": bytes}      201 UPLOAD
POST   /api/uploads/demo                     201 {"upload": UPLOAD, "preflight": PREFLIGHT}
POST   /api/uploads/demo?kind=modalities     201 {"upload": UPLOAD}      a simulated section
PUT    /api/uploads/<id>?offset=<received>   raw bytes, at most chunk_bytes       UPLOAD
GET    /api/uploads/<id>                     UPLOAD      resume at ``received``
POST   /api/uploads/<id>/finish[?card=none]  {"upload": UPLOAD, "preflight": PREFLIGHT}
                                             card=none: the upload alone
POST   /api/modalities {"uploads": [ids]}    {"uploads", "card": MODALITIES}
                                             files of one multi-omics section: .h5mu, or one
                                             .h5ad per modality
GET    /api/uploads/<id>/preflight           {"upload": UPLOAD, "preflight": PREFLIGHT}
GET    /api/uploads/<id>/preview             {"xy": [[x, y], ...] <= 20,000, "n_cells",
                                              "genes_per_cell": {"edges", "counts", "median"}}
POST   /api/uploads/<id>/image {"image": id}  {"image": {name, width, height, size, sha256}}
                                             puts a finished upload, a JPEG, PNG or TIFF image of
                                             the tissue, beside another; it is no upload any more
GET    /api/uploads/<id>/spots               {"upload", "card": SPOTS}
GET    /api/uploads/<id>/overlay.jpg[?section=]   the image with the spots of a section over it
DELETE /api/uploads/<id>                     {"deleted": true}
UPLOAD    = {id, name, size, received, complete, sha256 | null, chunk_bytes, expires (epoch s)}
PREFLIGHT = {filename, ok, n_cells, n_genes, n_matched, n_panel, xy_unit: um|mm|px|"",
             coordinates_in, counts_in, genes_in, seconds (estimate),
             findings: [{key: genes|cells|coordinates|counts|species|orientation|file,
                         state: ok|warning|blocked, title, value, text, fix, where}]}
MODALITIES = {ok, title, n_spots, modalities: [{name, kind, features, spots}], labels: [[name,
              classes]], align: strict|name|union, ways: [[align, spots]], differ, faults, seconds}
SPOTS     = {ok, faults, n_spots, n_genes, unit, pixels (field, or ""), image: {name, width, height}
             | null, sections: [{name, spots, pitch, pitch_px | null, outside (share) | null}]}
A finding of ``finish`` that blocks is no error: the card shows it; POST /api/jobs refuses it (422).

Jobs (read by anyone who has the id; cancelled by the session that made them)
---------------------------------------------------------------------------------------------------
POST   /api/jobs {"model", "verb", "params": {}, "inputs": {"upload": id} | {"section": id}
                  | {"sections": [ids]} | {"uploads": [ids]} | {"spots": id}}
                                             no section named: all that the verb can use
                                             202 {"job": JOB}; the same job when asked again
GET    /api/jobs                             {"jobs": [JOB]}      of this session, newest first
GET    /api/jobs/<id>                        {"job": JOB}
DELETE /api/jobs/<id>                        {"job": JOB}         asks it to stop
GET    /api/results/<id>                     what the job wrote for programs (its .json)
GET    /api/results/<id>/record       what the job was asked and found, with its figures
GET    /api/results/<id>/download?format=h5ad|csv|json   the file
GET    /api/results/<id>/underlay.jpg        image of the tissue in coordinates of the section
JOB = {id, model, verb, params, inputs, state: queued|running|done|failed|cancelled, fraction,
       message, seconds_left | null, position (0 = next) | null, created, started, finished,
       error | null, result | null, downloads: {"h5ad": url, "csv": url}, deleted_after (epoch s)
       | null}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from backend.http.asking import add_questions
from backend.http.reading import add_layers, add_reading
from backend.http.spots import add_spots
from backend.http.tiles import Tiles, add_tiles
from backend.http.transfers import add_jobs, add_selections, add_uploads

if TYPE_CHECKING:
    from backend.service.backend import Backend


def create_routes(backend: Backend, tiles: Tiles) -> Blueprint:
    """Return all routes as one blueprint.

    Parameters
    ----------
    backend : Backend
        The service; each route makes one call of it.
    tiles : Tiles
        Answers requests for tiles.
    """
    routes = Blueprint("atlas", __name__)
    reading = (add_reading, add_layers, add_questions, add_selections)
    for add in (*reading, add_uploads, add_spots, add_jobs):
        add(routes, backend)
    add_tiles(routes, tiles)

    @routes.get("/api/<path:rest>")
    def nothing(rest: str) -> Response:
        # Pages claim every other path: a misspelt route must not be answered with one.
        raise NotFound("There is no such route.")

    return routes
