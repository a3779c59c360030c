"""Files of models: where they are, how they get here, what is in them, and what they are known by."""
