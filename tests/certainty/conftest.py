from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))  # for `certainty_helpers`
settings.register_profile("kft", deadline=None, derandomize=True, database=None, max_examples=200)
settings.load_profile("kft")
