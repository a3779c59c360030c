"""DSMI: spectral attribution."""
