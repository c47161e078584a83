"""HTTP routes: requests in, one service call each, JSON or PNG or CSV out."""
