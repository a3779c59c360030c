"""The texts that a token may say, and their embeddings."""
