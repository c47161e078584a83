"""Files to atlas."""
