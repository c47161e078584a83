"""What the models share: graphs, preparation, checkpoints, baselines."""
