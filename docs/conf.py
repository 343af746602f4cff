"""Sphinx: Markdown pages, with the tables that are made from the code."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

import fragments  # noqa: E402 - after the path is set, as below
from sphinx.application import Sphinx  # noqa: E402

from musiclab import __version__  # noqa: E402

project = "musiclab"
author = "The musiclab contributors"
project_copyright = author
release = version = __version__

extensions = ["myst_parser"]
myst_heading_anchors = 4
exclude_patterns = ["_build", fragments.FOLDER]
nitpicky = True
highlight_language = "text"

html_theme = "furo"
html_title = f"musiclab {release}"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False


def setup(app: Sphinx) -> None:
    """Write the fragments before pages are read."""
    app.connect("builder-inited", lambda _: fragments.write(DOCS))
