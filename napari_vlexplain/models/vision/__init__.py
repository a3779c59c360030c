"""Source images as a model's pixels."""
