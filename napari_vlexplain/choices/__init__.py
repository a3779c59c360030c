"""What a person has chosen so far in a dock or a command, and what follows from it. No Qt, no torch at import."""
