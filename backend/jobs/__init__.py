"""Jobs: a queue of ids, and a table of what became of them."""
