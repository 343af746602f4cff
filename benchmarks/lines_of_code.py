#!/usr/bin/env python
"""Lines of each example beside what its study takes by hand, as a table for docs/extending.md.

    python benchmarks/lines_of_code.py

Lines that hold code count, without comments, docstrings and empty lines. Those in functions are the model, the measure
or the songs; around them are imports, the config and the study. By hand the functions of the model are those that both
have, and around them is all else: splits, checkpoints, the sweep, what is measured, kept and printed.
"""

import ast
import io
import tokenize
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
BY_HAND = ROOT / "benchmarks" / "own_system_by_hand.py"
MODEL = ("network", "lowest", "epoch", "continuations")  # its functions that are the model of `own_system.py`
_NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
    tokenize.ENDMARKER,
}  # fmt: skip


class Lines(NamedTuple):
    """Lines of code in functions of the model, the measure or the songs, and around them."""

    within: int
    around: int


def lines_of(text: str, functions: tuple[str, ...] = ()) -> Lines:
    """The lines of a module; `functions` names those that count, by default all."""
    code = set[int]()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            code |= {*range(token.start[0], token.end[0] + 1)}
    tree, within = ast.parse(text), set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            code -= _span(node.body[0])
        if isinstance(node, ast.FunctionDef) and (not functions or node.name in functions):
            within |= _span(node).union(*map(_span, node.decorator_list))
    return Lines(len(code & within), len(code - within))


def _span(node: ast.stmt | ast.expr) -> set[int]:
    return {*range(node.lineno, (node.end_lineno or node.lineno) + 1)}


def table() -> str:
    """A row an example, and one of the script by hand."""
    files = {f"`examples/{file.name}`": (file, ()) for file in sorted((ROOT / "examples").glob("*.py"))}
    files |= {f"by hand: `benchmarks/{BY_HAND.name}`": (BY_HAND, MODEL)}
    rows = ["| | lines of code | in functions | around them |", "|---|---|---|---|"]
    for name, (file, functions) in files.items():
        lines = lines_of(file.read_text(encoding="utf-8"), functions)
        rows.append(f"| {name} | {sum(lines)} | {lines.within} | {lines.around} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
