"""``python -m napari_vlexplain.cli`` is the same as ``vlexplain``."""

from __future__ import annotations

import sys

from . import main

sys.exit(main())
