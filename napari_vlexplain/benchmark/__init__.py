"""Cases x methods x metrics: computed on Dask, kept as rows, resumed where they stopped, and reported.

``plan`` says what is to be computed, ``work`` computes one case with one method, ``runner`` sends the work to a cluster
and keeps what comes back in a ``store``, ``report`` reads it. Importing this imports neither torch nor Dask.
"""

from __future__ import annotations
