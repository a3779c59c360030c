"""A record and an export as files for others, and back."""
