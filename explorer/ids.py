"""Ids of the components that callbacks and scripts share. Said once, here."""

from __future__ import annotations

# Stores: ids and view state only.
ADDRESS = "address"
VIEW = "view"
PLACE = "place"
SCENE = "scene"
ROW = "row"
FOCUS = "focus"
SCREEN = "screen"
PLANE = "plane"
HOVER = "hover"
ATLAS = "atlas"
JOBS = "jobs"
WIZARD = "wizard"
LASSO = "lasso"
TOOL = "tool"
STEER = "steer"

# Search.
SEARCH = "search"
TYPED = "typed"
SEARCH_PLACE = "search-place"
RESULTS = "results"

# Left panel.
OPTIONS = "options"
TREE = "tree"

# Map.
MAP = "map"
MAP_ATLAS = "map-atlas"
MAP_QUERY = "map-query"
TILES_A = "tiles-a"
TILES_B = "tiles-b"
QUERY_A = "query-a"
QUERY_B = "query-b"
NAMES = "names"
QUERY_PANE = "query-pane"
QUERY_CAPTION = "query-caption"
ATLAS_CAPTION = "atlas-caption"
CARD = "card"
EMPTY = "empty"
SUMMARY = "summary"
MAP_CHIP = "map-chip"

# Path bar and dock.
PATH = "path"
FACTS = "facts"
STRIP = "strip"
STRIP_TITLE = "strip-title"
DISTRIBUTION = "distribution"

# Right panel.
RIGHT = "right"
SEE = "see"
SUBJECT = "subject"
RANGE = "range"
RANGE_LO = "range-lo"
RANGE_HI = "range-hi"
LEGEND = "legend"
TRUST = "trust"
PARTS = "parts"
SELECTION = "selection"

# Annotate my section, and jobs.
ANNOTATE = "annotate"
STEPS = "steps"
WIZARD_BODY = "wizard-body"
JOB_BUTTON = "job-button"
JOB_CARD = "job-card"
POLL = "poll"
STATUS = "status"
