"""Matplotlib figures as SVG that can stand in a page beside others: light, themed by CSS, the same every time."""

import io
import re
import warnings
from collections.abc import Callable
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Colours are names of CSS variables, so that light, dark and print are the page's affair. Matplotlib knows them as
# these values, which stand for nothing else.
_NAMES = ("ink", "muted", "line", "paper", "accent", "real", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8")
COLOR = {name: f"#0102{place:02x}" for place, name in enumerate(_NAMES, 16)}
_VARIABLES = {value: f"var(--{name})" for name, value in COLOR.items()}

_SETTINGS = {
    "svg.fonttype": "none",  # text stays text: it can be found, read aloud and takes the page's font
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
    """The same without words, for what stands beside its name anyway."""
    body = _body(width, height, draw, name)
    return Markup('<svg class="plot" aria-hidden="true" {}>{}</svg>').format(_size(width, height), body)


def _size(width: float, height: float) -> Markup:
    return Markup('viewBox="0 0 {0:g} {1:g}" width="{0:g}" height="{1:g}"').format(width, height)


def _body(width: float, height: float, draw: Callable[[Figure], None], name: str) -> Markup:
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # A name in a script that the font lacks: the browser has a font for it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        figure.patch.set_visible(False)
        FigureCanvasSVG(figure)
        draw(figure)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return Markup(_light(ElementTree.fromstring(out.getvalue()), name))


def _light(root: ElementTree.Element, name: str) -> str:
    """What is inside the SVG, without what a page does not need, ids prefixed, colours as variables."""
    referred = {
        target
        for element in root.iter()
        for key, value in element.attrib.items()
        if key.endswith("href") or value.startswith("url(")
        for target in _REFERENCE.findall(value)
    }
    return "".join(ElementTree.tostring(child, "unicode") for child in _children(root, name, referred))


def _children(element: ElementTree.Element, name: str, referred: set[str]) -> list[ElementTree.Element]:
    """The element's children remade; groups that say nothing give way to what they hold."""
    made = []
    for child in element:
        tag = child.tag.rpartition("}")[2]
        if tag in _DROPPED:
            continue
        inner = _children(child, name, referred)
        attributes = _attributes(child, name, referred)
        if tag in ("g", "defs") and not attributes and (tag == "g" or not inner):
            made += inner
            continue
        new = ElementTree.Element(tag, attributes)
        new.text = child.text if tag == "text" or tag == "tspan" else None
        new.extend(inner)
        made.append(new)
    return made


def _attributes(element: ElementTree.Element, name: str, referred: set[str]) -> dict[str, str]:
    result = {}
    for key, value in element.attrib.items():
        key = key.rpartition("}")[2]
        if key == "id":
            if value not in referred:
                continue
            value = f"{name}-{value}"
        elif key == "href":
            value = f"#{name}-{value[1:]}"
        elif value.startswith("url(#"):
            value = f"url(#{name}-{value[5:]}"
        elif key == "style":
            value = _style(value)
        elif key in _LENGTHS:
            value = " ".join(_NUMBER.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), value).split())
            if key == "transform" and value.startswith("rotate(-0 "):
                continue
        if value:
            result[key] = value
    return result


def _style(value: str) -> str:
    """Inline style without fonts, which are the page's, and with variables for colours."""
    kept = []
    for declaration in value.split(";"):
        key, _, of = (part.strip() for part in declaration.partition(":"))
        if key and key not in ("font-family", "stroke-linejoin", "stroke-linecap"):
            kept.append(f"{key}:{_VARIABLES.get(of, of)}")
    return ";".join(kept)
