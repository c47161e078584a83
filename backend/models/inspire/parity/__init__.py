"""INSPIRE as published, for comparison: see ``train`` for how to call it and the deviations."""
