"""Going through a study: reading, judging, correcting, exporting. No Qt, no torch at import."""
