"""Views: each lays out one part of the screen and registers its callbacks; none knows another."""
