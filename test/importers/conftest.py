"""Fixtures for native Neon recordings come from the tests of the glasses; other formats' files from recordings.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "glasses"))

from neon_fixtures import neon_window, synthetic  # noqa: F401
