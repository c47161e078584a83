"""soScope as published: pre-training, enhancement, and the figures of its reference."""
