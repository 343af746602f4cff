"""HTML from templates: every value is escaped, unless it is Markup already."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,  # a misspelt name is an error, not a gap in a page
    trim_blocks=True,
    lstrip_blocks=True,
)


def template(name: str) -> Template:
    """The template of that name beside this module."""
    return _ENVIRONMENT.get_template(name)
