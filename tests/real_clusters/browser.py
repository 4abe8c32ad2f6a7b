"""The headless Chromium of `docs/make_dashboard_pictures.py`, for tests that look at pages."""

import importlib.util
from pathlib import Path

import pytest

__all__ = ["DOCS", "PROGRAM", "needs_browser", "pictures"]

DOCS = Path(__file__).parents[2] / "docs"
SPEC = importlib.util.spec_from_file_location("make_dashboard_pictures", DOCS / "make_dashboard_pictures.py")
pictures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pictures)

PROGRAM = pictures.chromium()
needs_browser = [
    pytest.mark.cluster,
    pytest.mark.skipif(PROGRAM is None, reason="needs Chromium, which .ci/packages installs"),
]
