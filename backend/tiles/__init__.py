"""Pixels: rows to bins, bins to colours, colours to PNG."""
