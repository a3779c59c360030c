"""Models that were trained to explain themselves."""
