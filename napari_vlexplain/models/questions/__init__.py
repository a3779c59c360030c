"""Models that answer questions or find objects: what they see, and how they are put together."""
