"""Work off the GUI thread, and in pieces on it."""
