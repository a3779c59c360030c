"""Images in, explanations out and in again."""
