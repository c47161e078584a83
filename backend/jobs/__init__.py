"""The queue of runs and the table of their states."""
