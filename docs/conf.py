"""Sphinx configuration: `make docs` builds the site in build/docs without a warning.

Pages are Markdown (MyST); API pages are made from docstrings, which are plain text (docstring_markup.py).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from docstring_markup import to_rst  # noqa: E402

import gaze_vlm_ros  # noqa: E402

project = "gaze_vlm_ros"
author = "gaze_vlm_ros maintainers"
copyright = author
release = version = gaze_vlm_ros.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx_copybutton"]
exclude_patterns = ["api/templates"]
templates_path = ["api/templates"]

myst_heading_anchors = 3

autosummary_generate = True
autosummary_imported_members = True
autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
add_module_names = False

html_theme = "pydata_sphinx_theme"
html_title = "gaze_vlm_ros"
html_show_sourcelink = False
html_sidebars = {"**": ["globaltoc.html"]}
html_theme_options = {
    "navbar_center": [],
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def _convert_docstring(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = to_rst("\n".join(lines))


def _readable_signature(
    _app: Any, _what: str, _name: str, _object: Any, _options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Show a default that a factory makes as "...": Sphinx cannot read "<factory>", and leaves the rest unformatted."""
    return (signature.replace("<factory>", "...") if signature else signature), returns


def setup(app: Any) -> None:
    app.connect("autodoc-process-signature", _readable_signature)
    app.connect("autodoc-process-docstring", _convert_docstring)
