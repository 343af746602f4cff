"""Content hashes: the names of trials, stages, window stores and versions of code."""

import ast
import functools
import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any


def content_hash(value: Any, length: int = 20) -> str:
    """Hash of a JSON-serialisable value as `length` hex digits; equal values give equal hashes on every machine."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


@functools.cache
def code_version(*modules: str) -> str:
    """Hash of what the named modules (or all modules of a named package) do: comments, docstrings and layout aside.

    A change of behaviour so changes the keys of what was computed, without a version number that somebody has to
    remember. Another Python minor version may give another hash; that repeats work, it never reuses wrong work.
    """
    digest = hashlib.sha256()
    for module in modules:
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(module)
        origin = Path(spec.origin)
        files = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
        for file in files:
            tree = ast.parse(file.read_text(encoding="utf-8"))
            digest.update(f"{module}/{file.name}\n{ast.dump(_without_docstrings(tree))}".encode())
    return digest.hexdigest()[:12]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:]
    return tree
