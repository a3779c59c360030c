"""What was asked and what came out: requests, explanations, answers, segmentations, and how they are kept and shown."""
