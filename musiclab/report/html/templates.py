"""HTML from templates: every value is escaped, unless it is Markup already."""

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template


def templates_in(folder: Path) -> Callable[[str], Template]:
    """What gives the template of a name in that folder."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,  # a misspelt name is an error, not a gap in a page
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template


_FOLDER = Path(__file__).parent
template = templates_in(_FOLDER)
STYLE_CSS = (_FOLDER / "style.css").read_text(encoding="utf-8")  # every page's, for pages that load it as a file
