"""PyTorch models: arrays in, arrays out."""
