"""A design: a study with the options of a command line applied, so that its cells are known."""

import argparse
import contextlib
import json
import platform
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musiclab import __version__
from musiclab.data.source import Source
from musiclab.data.sources import open_source
from musiclab.data.store import store_fingerprint
from musiclab.errors import UserError
from musiclab.measures.registry import find_measure
from musiclab.study.comparisons import Terms
from musiclab.study.mirror import masked
from musiclab.study.plan import SYSTEM, Cell, Variant, cells, edition
from musiclab.study.space import combinations
from musiclab.study.storage import Storage, is_folder_name
from musiclab.systems import find_system
from musiclab.training.streams import Block

if TYPE_CHECKING:
    from musiclab.study.study import Study


class Design:
    """A study with a command line's options applied: its variants and cells on a data source.

    `controls` has the name of the variant that each one is compared with; a control is its own.
    """

    def __init__(self, study: "Study", options: argparse.Namespace) -> None:
        _check(study)
        listed = combinations(study.space)
        self.study = study
        self.objective = find_measure(study.objective)
        if self.objective.better == "neither":
            raise UserError(f"{study.objective} has no better direction, so it cannot be an objective; try frechet.")
        self.systems = {name: find_system(name) for name in dict.fromkeys(_system(study, values) for values in listed)}
        self.source: Source = open_source(options.data)
        self.scale: str = options.scale
        fixed = _fixed(study, dict(options.set), {name for values in listed for name in values})
        self.variants = [self._variant(options.scale, fixed, values) for values in listed]
        for name, times in Counter(variant.name for variant in self.variants).items():
            if times > 1:
                raise UserError(f"{study.name} has the variant {name} {times} times; each one of a space stands once.")
        self.controls = {variant.name: self._control(variant) for variant in self.variants}
        self.blocks = [Block(study.seed, index) for index in range(options.blocks or study.blocks)]
        self.cells = cells(self.systems, self.variants, self.blocks)
        names: dict[str, str] = {}
        for cell in self.cells:
            if names.setdefault(cell.key, cell.variant.name) != cell.variant.name:
                raise UserError(
                    f"{names[cell.key]} and {cell.variant.name} are one and the same; leave one of them out."
                )

    @property
    def terms(self) -> Terms:
        """How the study is judged."""
        return Terms(self.objective, self.controls, self.study.margin)

    @property
    def comparisons(self) -> int:
        """How many variants are compared with another one."""
        return sum(name != control for name, control in self.controls.items())

    def config(self, cell: Cell) -> Any:
        """The system's typed config of a cell."""
        return self.systems[cell.variant.system].config(**cell.variant.config)

    def _variant(self, scale: str, fixed: dict[str, Any], values: dict[str, Any]) -> Variant:
        name = _system(self.study, values)
        system, own = self.systems[name], {field: value for field, value in values.items() if field != SYSTEM}
        for field in fixed:
            # A study of several systems fixes what any of them has; where none has it, the first says so.
            if not any(hasattr(of.config, field) for of in self.systems.values()):
                system.config.spec(field)
        common = {field: value for field, value in fixed.items() if hasattr(system.config, field)}
        config = system.config().with_values(system.presets[scale] | common | own)
        shown = {field: getattr(config, field) for field in own}
        if SYSTEM in values:
            shown = {SYSTEM: name} | shown
        return Variant(name, shown, config.to_json(), store_fingerprint(self.source, config.window_spec))

    def _control(self, variant: Variant) -> str:
        """Name of the variant that has the control's values, of the same system where the control names none."""
        given = dict(self.study.control)
        system = given.pop(SYSTEM, variant.system)
        if system in self.systems:
            config = self.systems[system].config
            given = {name: config.value(name, value) for name, value in given.items()}
            for other in self.variants:
                own = {name: value for name, value in other.values.items() if name != SYSTEM}
                if other.system == system and own == given:
                    return other.name
        raise UserError(f"control takes one variant of the space with all its fields, not {self.study.control}.")

    def base(self) -> dict[str, Any]:
        """The fields that have one value in all variants, by name."""
        first, *others = (variant.config for variant in self.variants)
        missing = object()
        return {
            name: value
            for name, value in first.items()
            if all(other.get(name, missing) == value for other in others)
            and not any(name in variant.values for variant in self.variants)
        }

    def write(self, storage: Storage) -> str:
        """Write the plan that the mirror and reports follow; its name in the storage."""
        controls = dict.fromkeys(self.controls.values())
        on_first_block = {cell.variant.name: cell for cell in reversed(self.cells)}
        name = edition(self.study.name, self.objective.full_name, [on_first_block[control] for control in controls])
        plan = {
            "study": self.study.name,
            "question": self.study.question,
            "edition": name,
            "base": self.base() | {"data": self.source.spec, "seed": self.study.seed},
            "controls": self.controls,
            "objective": self.objective.full_name,
            "margin": self.terms.margin,
            "sequential": self.terms.sequential,
            "claims": [asdict(claim) for claim in self.study.claims],
            "scale": self.scale,
            "blocks": len(self.blocks),
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


def _system(study: "Study", values: dict[str, Any]) -> str:
    """The system of the variant of those values: their own, else the study's."""
    name = values.get(SYSTEM, study.system)
    if not name or not isinstance(name, str):
        raise UserError(f"{study.name} names no system; give the study one, or each variant of its space.")
    return name


def _fixed(study: "Study", given: dict[str, str], compared: set[str]) -> dict[str, Any]:
    """What is the same for all variants: the study's own, then what --set gives."""
    for name in study.fixed:
        if name in compared and not isinstance(study.space, list):  # a listed variant says what it changes
            raise UserError(f"{study.name} both fixes {name} and compares values of it; leave one out.")
    for name in given:
        if name in compared:
            raise UserError(f"--set {name} is not possible: {study.name} compares values of {name}.")
    return study.fixed | given


def _check(study: "Study") -> None:
    """UserError where the study's own fields, those that systems and measures do not know of, cannot be right."""
    if not (isinstance(study.name, str) and is_folder_name(study.name)):
        raise UserError(
            f"A study's name, which names folders, takes letters, digits, '_', '-', '.', not {study.name!r}."
        )
    for name, low in (("blocks", 1), ("seed", 0)):
        value = getattr(study, name)
        if not isinstance(value, int) or value < low:
            raise UserError(f"A study's {name} takes a whole number of at least {low}, not {value!r}.")
    if not isinstance(study.fixed, dict):
        raise UserError(f"fixed takes fields with their values, such as {{'alpha': 0.5}}, not {study.fixed!r}.")
    if not isinstance(study.control, dict):
        raise UserError(f"control takes fields with their values, such as {{'latent_dim': 16}}, not {study.control!r}.")


def _commit() -> str:
    """The checkout's commit, or nothing outside one."""
    root = Path(__file__).parent
    with contextlib.suppress(OSError):
        found = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        return found.stdout.strip()
    return ""
