"""Methods made for CLIP-like models."""
