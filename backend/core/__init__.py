"""Nouns and errors; numpy and scipy only."""
