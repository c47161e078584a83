"""Sections to atlas: any number of files, one plan, one table of cells."""

from backend.build.config import BuildConfig
from backend.build.run import build_atlas

__all__ = ["BuildConfig", "build_atlas"]
