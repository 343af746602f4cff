"""Tables that the documentation takes from the code: every measure with its formula, every field of every system."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import musiclab.measures
from musiclab.measures.registry import MEASURES, Measure
from musiclab.systems import SYSTEMS, find_system

FOLDER = "_generated"
GROUPS = {
    "music": "Music",
    "set": "Sets",
    "latent": "VAEs",
    "next": "Next window",
    "tokens": "Tokens",
    "style": "Style",
}
# The function whose docstring has a measure's formula, if it is not called like the measure.
FORMULAS = {
    **dict.fromkeys(("frame_f1", "frame_precision", "frame_recall"), "frame_scores"),
    **dict.fromkeys(("onset_f1", "onset_precision", "onset_recall"), "onset_scores"),
    **dict.fromkeys(("best_frame_f1", "frame_auprc", "mse"), "activation_measures"),
    "density_ratio": "reconstruction_measures",
    "sigma": "likelihood_measures",
    **dict.fromkeys(("elbo", "iw_bound"), "importance_gain"),
    "kl": "kl_per_dimension",
    "posterior_sd": "posterior_measures",
    "noise_response": "noise_response_measures",
    **dict.fromkeys(("next_f1", "gain_over_repeat", "gain_over_average"), "next_window_measures"),
    **dict.fromkeys(("perplexity", "unigram_perplexity", "bits_over_unigram"), "token_measures"),
    **dict.fromkeys(("self_similarity_1", "self_similarity_2", "self_similarity_4", "self_similarity_8"),
                    "self_similarity"),
    "duplicate_rate": "pairs",
    "frechet": "frechet_distance",
    **dict.fromkeys(("precision", "recall", "density", "coverage"), "fidelity"),
    **dict.fromkeys(("overlap_area", "feature_kl"), "distances_compared"),
    **dict.fromkeys(("ndb", "bins_jsd"), "bins_compared"),
    "training_similarity": "likeness",
    **dict.fromkeys(("piano_sensitivity", "target_sensitivity"), "condition_response"),
    **dict.fromkeys(("similarity", "specificity", "retrieval"), "style_measures"),
}  # fmt: skip


def write(docs: Path) -> None:
    """Write the fragments that pages of `docs` include."""
    folder = docs / FOLDER
    folder.mkdir(exist_ok=True)
    for name, text in (("measures.md", measures()), ("systems.md", systems())):
        file = folder / name
        if not file.is_file() or file.read_text(encoding="utf-8") != text:  # else all pages would be built anew
            file.write_text(text, encoding="utf-8")


def measures() -> str:
    """Every measure: a table for each group, and below it the formulas."""
    functions = _functions()
    lines = []
    for group, title in GROUPS.items():
        members = [measure for measure in MEASURES if measure.group == group]
        lines += [f"### {title}", "", "| measure | unit | better | needs | what it is |", "|---|---|---|---|---|"]
        lines += [_measure_row(measure) for measure in members]
        lines.append("")
        by_formula: dict[str, list[str]] = {}
        for measure in members:
            by_formula.setdefault(formula_name(measure), []).append(f"`{measure.name}`")
        for function, names in by_formula.items():
            docstring = inspect.getdoc(functions[function]) or ""
            lines += [f"#### {', '.join(names)}", "", docstring_to_markdown(docstring), ""]
    return "\n".join(lines)


def formula_name(measure: Measure) -> str:
    """The name of the function whose docstring has the measure's formula."""
    return FORMULAS.get(measure.name, measure.name)


def systems() -> str:
    """Every system: the values of its scales and forms, and a table of its fields for each stage."""
    shared = [field for field in _fields("vae_nn") if _is_shared(field)]
    lines = ["### Fields that all systems share", "", *_field_table(shared), ""]
    for name in SYSTEMS:
        system = find_system(name)
        module = importlib.import_module(type(system).__module__)
        opening = (inspect.getdoc(module) or "").partition("\n")[0].partition(":")[2].strip()
        lines += [f"### {name}", "", f"{escaped(opening[:1].upper() + opening[1:])}", ""]
        lines += [f"Stages: {', '.join(f'`{stage}`' for stage in system.stages)}.", ""]
        lines += ["| scale or form | values, if they are not the default |", "|---|---|"]
        for preset, values in (system.scales | system.forms).items():
            assignments = ", ".join(f"`{field}={_value(value)}`" for field, value in values.items())
            lines.append(f"| `{preset}` | {assignments or '-'} |")
        lines += ["", *_field_table(field for field in _fields(name) if not _is_shared(field)), ""]
    return "\n".join(lines)


def _functions() -> dict[str, Callable[..., Any]]:
    """Public functions and methods of `musiclab.measures`, by name, in whatever module they are."""
    functions: dict[str, Callable[..., Any]] = {}
    for info in pkgutil.walk_packages(musiclab.measures.__path__, "musiclab.measures."):
        module = importlib.import_module(info.name)
        for value in vars(module).values():
            if inspect.isclass(value) and value.__module__ == module.__name__:
                for method, function in vars(value).items():
                    if inspect.isfunction(function) and not method.startswith("_"):
                        functions.setdefault(method, function)
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_"):
                functions[name] = value
    return functions


def _measure_row(measure: Measure) -> str:
    needs = ", ".join(measure.needs) or "-"
    return f"| `{measure.full_name}` | {measure.unit} | {measure.better} | {needs} | {escaped(measure.title)} |"


def _fields(system: str) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(find_system(system).config)


def _is_shared(field: dataclasses.Field[Any]) -> bool:
    return all(field.name in {other.name for other in _fields(name)} for name in SYSTEMS)


def _field_table(fields: Iterable[dataclasses.Field[Any]]) -> list[str]:
    rows = ["| field | default | values | stage | what it is |", "|---|---|---|---|---|"]
    for field in fields:
        meta = field.metadata
        sentence = escaped(meta["doc"])
        rows.append(
            f"| `{field.name}` | `{_value(field.default)}` | {_values(field)} | `{meta['stage']}` | {sentence} |"
        )
    return rows


def _values(field: dataclasses.Field[Any]) -> str:
    """Which values a field may have, in words."""
    meta = field.metadata
    if meta["choices"]:
        return ", ".join(f"`{choice}`" for choice in meta["choices"])
    kind = {bool: "true or false", int: "whole number", float: "number", str: "text"}[type(field.default)]
    low, high = meta["low"], meta["high"]
    if low is not None and high is not None:
        return f"{kind}, {_number(low)} to {_number(high)}"
    return f"{kind}, at least {_number(low)}" if low is not None else kind


def _number(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:g}"


def _value(value: Any) -> str:
    """A value as `--set` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def docstring_to_markdown(docstring: str) -> str:
    """A docstring's prose, its `Returns:` and its source as Markdown; arguments and attributes are left out."""
    blocks: list[str] = []
    section = ""
    for line in docstring.splitlines():
        heading = re.fullmatch(r"(Args|Attributes|Returns|Raises):", line)
        indent = len(line) - len(line.lstrip())
        if heading:
            section = heading[1]
            if section == "Returns":
                blocks.append("**Returns:**")
        elif section in ("Args", "Attributes", "Raises") and (indent or not line.strip()):
            continue
        elif not line.strip():
            blocks.append("")
        else:
            if not indent:
                section = ""
            text = escaped(line.strip())
            opens = indent == 4 and not section
            if opens:  # a term and what it is
                blocks.append(f"- {text}")
            elif blocks and blocks[-1]:
                blocks[-1] += f" {text}"
            else:
                blocks.append(text)
    # An item belongs to the list above it, and a list is set apart from the paragraph above it.
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"(?m)^(?!- )(.+)\n(?=- )", r"\1\n\n", "\n".join(blocks))).strip()


def escaped(text: str) -> str:
    """Text whose characters mean nothing to Markdown, outside `code`."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(
        piece if piece.startswith("`") else re.sub(r"([\\*_<>\[\]|#~$])", r"\\\1", piece) for piece in pieces
    )
