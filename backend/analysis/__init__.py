"""Plain statistics over sections and selections."""
