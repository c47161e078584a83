"""One run from files to files: the only place where stores, readers and models meet."""
