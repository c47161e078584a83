"""Reading files and checking them before anything else looks at them."""
