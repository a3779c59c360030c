"""Spectral graph theory on tokens: Fiedler vectors for attribution, eigenvector segments for whole images."""
