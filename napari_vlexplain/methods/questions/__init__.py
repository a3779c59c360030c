"""Methods for models that answer questions or find objects."""
