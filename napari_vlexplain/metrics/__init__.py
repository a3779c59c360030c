"""Figures: maps and masks against ground truths, and what a model does when the input changes."""
