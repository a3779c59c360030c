"""Methods that read attention: relevance, rollout, attention itself."""
