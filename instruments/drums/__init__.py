"""Drums that are made, not sampled: classes, sound model, network and the instrument that plays them."""
