"""soScope's generative model with its likelihood in the objective; offered where it wins."""
