"""Sphinx configuration: ``python -m sphinx -W docs build/docs``."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))

import generate  # noqa: E402

from stylepipe.version import __version__  # noqa: E402

generate.write(DOCS / "generated")

project = "stylepipe"
author = "The stylepipe authors"
copyright = author
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["examples"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"stylepipe {release}"
html_copy_source = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
maximum_signature_line_length = 88
