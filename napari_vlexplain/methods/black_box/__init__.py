"""Methods that only see the scores of masked images and prompts."""
