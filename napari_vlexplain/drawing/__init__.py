"""Pictures for people: colours, overlays, boxes, letters. No Qt and no torch here."""
