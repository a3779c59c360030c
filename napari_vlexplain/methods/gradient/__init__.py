"""Methods that follow gradients back to pixels and word embeddings."""
