"""The two ways a request ends without an answer."""

from __future__ import annotations


class VLExplainError(ValueError):
    """Bad input, said in one sentence: what is wrong and what would be right."""


class Cancelled(Exception):
    """The user asked to stop; nothing was kept."""
