"""Molecular Atlas Explorer: store, tiles, jobs and models."""
