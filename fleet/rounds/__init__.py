"""Federated rounds: one of Flower's apps over several grids."""
