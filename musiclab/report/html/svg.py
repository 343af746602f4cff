"""Matplotlib figures as SVG for a page with many of them: small, coloured by CSS, the same every time."""

import io
import re
import warnings
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Colours are CSS variables, so that the page decides on light, dark and print. In matplotlib each variable has a colour
# of its own, which is replaced afterwards.
_NAMES = ("ink", "muted", "line", "paper", "accent", "real", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8")
COLOR = {name: f"#0102{place:02x}" for place, name in enumerate(_NAMES, 16)}
_VARIABLES = {value: f"var(--{name})" for name, value in COLOR.items()}

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched and read aloud, and takes the page's font
    "svg.hashsalt": "musiclab",
    "text.parse_math": False,  # names come from data
    "font.size": 12,
    "path.simplify": True,
    "path.simplify_threshold": 0.2,
}
_DROPPED = {"metadata", "style"}
_NUMBER = re.compile(r"-?\d+\.\d+")
_LENGTHS = ("d", "x", "y", "transform", "width", "height")
_REFERENCE = re.compile(r"#([\w.-]+)")


def drawn(
    width: float, height: float, draw: Callable[[Figure], None], name: str, title: str, description: str, kind: str = ""
) -> Markup:
    """An inline `<svg role="img">` of what `draw` puts on a figure of that many pixels.

    Args:
        width, height: in CSS pixels; the SVG shrinks from there.
        draw: draws with the colours of COLOR only.
        name: unique in the page and made of letters, digits and `-`; all ids of the SVG begin with it.
        title, description: for those who cannot see it; escaped here.
        kind: a further CSS class.
    """
    return Markup(
        '<svg class="plot {kind}" role="img" aria-labelledby="{name}-t {name}-d" {size}>'
        '<title id="{name}-t">{title}</title><desc id="{name}-d">{description}</desc>{body}</svg>'
    ).format(
        kind=kind, name=name, size=_size(width, height), title=title, description=description,
        body=_body(width, height, draw, name),
    )  # fmt: skip


def ornament(width: float, height: float, draw: Callable[[Figure], None], name: str) -> Markup:
    """The same without title and description, for a drawing beside its name."""
    body = _body(width, height, draw, name)
    return Markup('<svg class="plot" aria-hidden="true" {}>{}</svg>').format(_size(width, height), body)


def _size(width: float, height: float) -> Markup:
    return Markup('viewBox="0 0 {0:g} {1:g}" width="{0:g}" height="{1:g}"').format(width, height)


def _body(width: float, height: float, draw: Callable[[Figure], None], name: str) -> Markup:
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # The font may lack the script of a name; the browser has a font for it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        figure.patch.set_visible(False)
        FigureCanvasSVG(figure)
        draw(figure)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return Markup(_light(ElementTree.fromstring(file.getvalue()), name))


def _light(root: ElementTree.Element, name: str) -> str:
    """The contents of the SVG as a page needs them: ids prefixed, colours as variables, the rest dropped."""
    referred = {
        target
        for element in root.iter()
        for key, value in element.attrib.items()
        if key.endswith("href") or value.startswith("url(")
        for target in _REFERENCE.findall(value)
    }
    return "".join(ElementTree.tostring(child, "unicode") for child in _children(root, name, referred))


def _children(element: ElementTree.Element, name: str, referred: set[str]) -> list[ElementTree.Element]:
    """The element's children as a page needs them; groups without attributes are replaced by their children."""
    children = []
    for child in element:
        tag = child.tag.rpartition("}")[2]
        if tag in _DROPPED:
            continue
        inner = _children(child, name, referred)
        attributes = _attributes(child, name, referred)
        if tag in ("g", "defs") and not attributes and (tag == "g" or not inner):
            children += inner
            continue
        new = ElementTree.Element(tag, attributes)
        new.text = child.text if tag == "text" or tag == "tspan" else None
        new.extend(inner)
        children.append(new)
    return children


def _attributes(element: ElementTree.Element, name: str, referred: set[str]) -> dict[str, str]:
    result = {}
    for key, value in element.attrib.items():
        key = key.rpartition("}")[2]
        if key == "id":
            if value not in referred:
                continue
            value = f"{name}-{value}"
        elif key == "href" and not element.tag.endswith("}a"):  # a link leads to another place of the page
            value = f"#{name}-{value[1:]}"
        elif value.startswith("url(#"):
            value = f"url(#{name}-{value[5:]}"
        elif key == "style":
            value = _style(value)
        elif key in _LENGTHS:
            value = " ".join(_NUMBER.sub(lambda match: f"{float(match[0]):.1f}".removesuffix(".0"), value).split())
            if key == "transform" and value.startswith("rotate(-0 "):
                continue
        if value:
            result[key] = value
    return result


def _style(value: str) -> str:
    """Inline style without fonts, which are the page's, and with variables for colours."""
    kept = []
    for declaration in value.split(";"):
        key, _, setting = (text.strip() for text in declaration.partition(":"))
        # A point may be a line without length, whose round ends are the point.
        if key and key not in ("font-family", "stroke-linejoin") and (key != "stroke-linecap" or setting == "round"):
            kept.append(f"{key}:{_VARIABLES.get(setting, setting)}")
    return ";".join(kept)
