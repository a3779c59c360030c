"""How a piece of work runs: progress and cancellation, torch's state fenced off, errors as sentences, the log."""
