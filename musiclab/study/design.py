"""A design: a study with the options of a command line applied, so that its cells are known."""

import argparse
import contextlib
import json
import platform
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musiclab import __version__
from musiclab.data.source import Source
from musiclab.data.sources import open_source
from musiclab.data.store import store_fingerprint
from musiclab.errors import UserError
from musiclab.measures.registry import find_measure
from musiclab.study.mirror import masked
from musiclab.study.plan import Cell, Variant, cells, edition
from musiclab.study.space import grid_variants
from musiclab.study.storage import Storage
from musiclab.systems import find_system
from musiclab.training.streams import Block

if TYPE_CHECKING:
    from musiclab.study.study import Study


class Design:
    """A study with a command line's options applied: its variants and cells on a data source."""

    def __init__(self, study: "Study", options: argparse.Namespace) -> None:
        _check(study)
        combinations = grid_variants(study.space)
        self.study = study
        self.system = find_system(study.system)
        self.objective = find_measure(study.objective)
        if self.objective.better in ("real", "neither"):
            raise UserError(f"{study.objective} has no better direction, so it cannot be an objective; try frechet.")
        fixed = dict(options.set)
        for name in fixed:
            self.system.config.spec(name)
            if name in study.space:
                raise UserError(f"--set {name} is not possible: {study.name} compares values of {name}.")
        base = self.system.config().with_values(self.system.presets[options.scale] | fixed)
        self.base = {name: value for name, value in base.to_json().items() if name not in study.space}
        self.source: Source = open_source(options.data)
        self.variants = [self._variant(base, values) for values in combinations]
        for name, times in Counter(variant.name for variant in self.variants).items():
            if times > 1:
                raise UserError(f"{study.name} has the variant {name} {times} times; each value of a Grid stands once.")
        control = {name: self.system.config.value(name, value) for name, value in study.control.items()}
        named = [variant for variant in self.variants if variant.values == control]
        if not named:
            raise UserError(f"control takes one variant of the space with all its fields, not {study.control}.")
        self.control = named[0].name
        self.blocks = [Block(study.seed, index) for index in range(options.blocks or study.blocks)]
        self.cells = cells(self.system, self.variants, self.blocks)

    def _variant(self, base: Any, values: dict[str, Any]) -> Variant:
        config = base.with_values(values)
        values = {name: getattr(config, name) for name in values}
        return Variant(values, config.to_json(), store_fingerprint(self.source, config.window_spec))

    def config(self, cell: Cell) -> Any:
        """The system's typed config of a cell."""
        return self.system.config(**cell.variant.config)

    def write(self, storage: Storage) -> str:
        """Write the plan that the mirror and reports follow; its name in the storage."""
        control = next(cell for cell in self.cells if cell.variant.name == self.control)
        name = edition(self.study.name, self.objective.full_name, control)
        plan = {
            "study": self.study.name,
            "question": self.study.question,
            "edition": name,
            "system": self.system.name,
            "base": self.base | {"data": self.source.spec, "seed": self.study.seed},
            "control": self.control,
            "objective": self.objective.full_name,
            "cells": [cell.to_json() for cell in self.cells],
            "began": time.time(),
            "command": [masked(word) for word in sys.argv],
            "environment": {
                "musiclab": __version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "commit": _commit(),
            },
        }
        path = f"studies/{self.study.name}/{name}/plan.json"
        storage.write(path, json.dumps(plan, indent=1).encode())
        return path


def _check(study: "Study") -> None:
    """UserError where the study's own fields, those that systems and measures do not know of, cannot be right."""
    if not (isinstance(study.name, str) and re.fullmatch(r"\w[\w.-]*", study.name)):
        raise UserError(
            f"A study's name, which names folders, takes letters, digits, '_', '-', '.', not {study.name!r}."
        )
    for name, low in (("blocks", 1), ("seed", 0)):
        value = getattr(study, name)
        if not isinstance(value, int) or value < low:
            raise UserError(f"A study's {name} takes a whole number of at least {low}, not {value!r}.")
    if not isinstance(study.control, dict):
        raise UserError(f"control takes fields with their values, such as {{'latent_dim': 16}}, not {study.control!r}.")


def _commit() -> str:
    """The checkout's commit, or nothing outside one."""
    root = Path(__file__).parent
    with contextlib.suppress(OSError):
        found = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        return found.stdout.strip()
    return ""
