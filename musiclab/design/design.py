"""A design: a study with the options of a command line applied, so that its cells are known."""

import argparse
import contextlib
import math
import platform
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from musiclab import __version__
from musiclab.code_lock import StageCode, differing
from musiclab.data.source import Source
from musiclab.data.sources import open_source
from musiclab.data.store import code_of_windows, store_fingerprint
from musiclab.errors import UserError
from musiclab.measures.registry import Measure, find_measure
from musiclab.study.claims import check_claims
from musiclab.study.comparisons import Terms
from musiclab.study.factors import Factor, aliases, factors, tells_effects
from musiclab.study.mirror import masked, named_uri
from musiclab.study.plan import SYSTEM, Cell, Variant, cells, edition
from musiclab.study.records import Records
from musiclab.study.results import stored_plans
from musiclab.study.sequential import blocks_needed_anytime
from musiclab.study.space import Ablation, combinations, described
from musiclab.study.storage import is_folder_name
from musiclab.systems import find_system
from musiclab.training.runtime import Device, Runtime
from musiclab.training.streams import Block

if TYPE_CHECKING:
    from musiclab.study.study import Study
    from musiclab.systems.base import System


# What an objective may need, where its name does not say it.
_NEEDS = {
    "pairs": "predicted pairs of windows", "target": "a target song to follow", "start": "a start window",
    "piano": "a piano that the others follow", "noise": "sampling noise",
}  # fmt: skip


class Design:
    """A study with a command line's options applied: its variants and cells on a data source.

    `controls` has the name of the variant that each one is compared with; a control is its own. There are `blocks`
    blocks now and `most` at last; the two differ only where blocks are added until it is clear (`adding`), by
    whoever runs the study. Tests are `sequential` where blocks are or were so added.
    """

    def __init__(self, study: "Study", options: argparse.Namespace, device: Device = "cpu") -> None:
        _check(study)
        listed = combinations(study.space)
        self.study = study
        self._began = time.time()
        self._tracking = named_uri(options.tracking_uri)  # empty where it is the storage's own, wherever that goes
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
        check_claims(study.claims, self.variants)
        control = study.control or (listed[0] if isinstance(study.space, Ablation) else {})
        self.controls = {variant.name: self._control(variant, control) for variant in self.variants}
        _check_objective(self.objective, self.systems, self.variants)
        self.adding = self.sequential = bool(options.until_clear)
        self.most: int = options.max_blocks or options.blocks or study.blocks
        self.blocks = self._first() if self.adding else self.most
        blocks = [Block(study.seed, index) for index in range(self.most)]
        self._cells = cells(self.systems, self.variants, blocks, Runtime.here(device))
        names: dict[str, str] = {}
        for cell in self._cells:
            if names.setdefault(cell.key, cell.variant.name) != cell.variant.name:
                raise UserError(
                    f"{names[cell.key]} and {cell.variant.name} are one and the same; leave one of them out."
                )

    @property
    def terms(self) -> Terms:
        """How the study is judged."""
        return Terms(self.objective, self.controls, self.study.margin, self.sequential)

    @property
    def cells(self) -> list[Cell]:
        """Every variant on every block there is so far."""
        return self.cells_of(self.blocks)

    def cells_of(self, blocks: int) -> list[Cell]:
        """Every variant on each of the first `blocks`, which are at most `most`."""
        return self._cells[: blocks * len(self.variants)]

    @property
    def aliases(self) -> dict[str, list[str]]:
        """Which effects and interactions the variants confound; empty unless they are a fraction."""
        return aliases(self._factors)

    @property
    def main_effects(self) -> int:
        """How many values are tested against the control's, averaged over the other fields."""
        of_each = [len(factor.values) - 1 for factor in self._factors]
        return sum(of_each) if len(set(self.controls.values())) == 1 and tells_effects(self._factors) else 0

    @property
    def _factors(self) -> list[Factor]:
        return factors({variant.name: variant.values for variant in self.variants})

    @property
    def comparisons(self) -> int:
        """How many variants are compared with another one."""
        return sum(name != control for name, control in self.controls.items())

    def config(self, cell: Cell) -> Any:
        """The system's typed config of a cell."""
        return self.systems[cell.variant.system].config(**cell.variant.config)

    def _first(self) -> int:
        """How many blocks a study that adds some until it is clear begins with: fewer could show nothing."""
        if not self.comparisons:
            raise UserError(f"{self.study.name} compares nothing that could become clear; leave out --until-clear.")
        need = blocks_needed_anytime(self.comparisons)
        if need > self.most:
            raise UserError(
                f"--max-blocks {self.most} is too few for anything to become clear: with tests that hold at any time "
                f"{self.comparisons} comparison{'' if self.comparisons == 1 else 's'} can take no fewer than {need}."
            )
        return need

    def take_up(self, records: Records) -> None:
        """Go on from an earlier run that added blocks until it was clear: with as many, if blocks are added again.

        With a number of blocks that is fixed only now, after looking, tests must still be those that hold at any time.
        """
        if before := records.plan(self.folder):
            if before["sequential"] and self.adding:
                self.blocks = min(self.most, max(self.blocks, before["blocks"]))
            self.sequential = self.sequential or before["sequential"]

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

    def _control(self, variant: Variant, control: dict[str, Any]) -> str:
        """Name of the variant that has the control's values, of the same system where the control names none."""
        given = dict(control)
        system = given.pop(SYSTEM, variant.system)
        if system in self.systems:
            config = self.systems[system].config
            given = {name: config.value(name, value) for name, value in given.items()}
            for other in self.variants:
                own = {name: value for name, value in other.values.items() if name != SYSTEM}
                if other.system == system and own == given:
                    return other.name
        example = self.variants[0].values
        raise UserError(
            f"control takes one variant of the space with all its fields, such as {example}, not {control or 'none'}."
        )

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

    @cached_property
    def edition(self) -> str:
        """The name of what makes the study's trials comparable; how many blocks there are is no part of it."""
        on_first_block = {cell.variant.name: cell for cell in self.cells_of(1)}
        controls = [on_first_block[control] for control in dict.fromkeys(self.controls.values())]
        return edition(self.study.name, self.objective.full_name, controls)

    @property
    def folder(self) -> str:
        """Where the storage has the plan, and all else of this edition."""
        return f"studies/{self.study.name}/{self.edition}"

    def code(self, system: str) -> dict[str, StageCode]:
        """The code that decides what a trial of the system comes to, by stage; that of its windows first."""
        made_by = self.systems[system]
        codes = [code_of_windows(self.source), *(code for stage in made_by.stages for code in made_by.code(stage))]
        return {code.name: code for code in codes}

    @property
    def unlocked_code(self) -> str:
        """One line about code that is not what the lock holds; empty if all is."""
        return differing({name: code for system in self.systems for name, code in self.code(system).items()}.values())

    def write(self, records: Records) -> None:
        """Write the plan that the mirror and reports follow: as it stands now, which more blocks change."""
        others = [plan for folder, plan in stored_plans(records, self.study.name).items() if folder != self.folder]
        # The newest plan is known by this, whatever the clock has been set to.
        self._began = max([self._began, *(plan["began"] + 0.001 for plan in others)])
        plan = {
            "study": self.study.name,
            "question": self.study.question,
            "edition": self.edition,
            "base": self.base() | {"data": self.source.spec, "seed": self.study.seed},
            "design": described(self.study.space) | {"aliases": self.aliases},
            "controls": self.controls,
            "objective": self.objective.full_name,
            "margin": self.terms.margin,
            "sequential": self.terms.sequential,
            "claims": [asdict(claim) for claim in self.study.claims],
            "scale": self.scale,
            "blocks": self.blocks,
            "cells": [cell.to_json() for cell in self.cells],
            "began": self._began,
            "songs": self.source.fingerprint(),
            "code": {name: code.identity for system in self.systems for name, code in self.code(system).items()},
            "command": [masked(word) for word in sys.argv],
            "tracking": masked(self._tracking),
            "environment": {
                "musiclab": __version__,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "commit": _commit(),
            },
        }
        records.put_plan(self.folder, plan)


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
            f"A study's name, which names folders, takes up to 200 letters, digits, '_', '-', '.', not {study.name!r}."
        )
    for name in ("objective", "question"):
        if not isinstance(getattr(study, name), str):
            raise UserError(f"A study's {name} takes a text, not {getattr(study, name)!r}.")
    for name, low, high in (("blocks", 1, 10_000), ("seed", 0, 2**63 - 1)):  # blocks as many as --blocks takes
        value = getattr(study, name)
        if not isinstance(value, int) or not low <= value <= high:
            raise UserError(f"A study's {name} takes a whole number from {low} to {high}, not {value!r}.")
    margin = study.margin
    if margin is not None and not (_is_number(margin) and 0 < margin < math.inf):
        raise UserError(f"A study's margin takes a number above 0, in the objective's unit, or None, not {margin!r}.")
    if not isinstance(study.fixed, dict):
        raise UserError(f"fixed takes fields with their values, such as {{'alpha': 0.5}}, not {study.fixed!r}.")
    if not isinstance(study.control, dict):
        raise UserError(f"control takes fields with their values, such as {{'latent_dim': 16}}, not {study.control!r}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_objective(objective: Measure, systems: dict[str, "System"], variants: list[Variant]) -> None:
    """UserError where not every variant compared has what the objective is worked out from."""
    for need in objective.needs:
        without = [name for name, system in systems.items() if need not in (*system.gives, *system.conditions)]
        if without:
            raise UserError(
                f"The objective {objective.name} needs {_NEEDS.get(need, need)}, which {' and '.join(without)} "
                f"{'does' if len(without) == 1 else 'do'} not have; take systems that do, or an objective that all "
                f"have, such as frechet."
            )
    if "target" in objective.needs:
        from musiclab.systems.style import NONE  # torch comes with it, which the systems have brought by now

        if without := [variant.name for variant in variants if variant.config["target"] == NONE]:
            raise UserError(
                f"The objective {objective.name} needs a target song, which {without[0]} has none of; fix target, such "
                "as fixed={'target': 'drawn'}."
            )


def _commit() -> str:
    """The checkout's commit, or nothing outside one."""
    root = Path(__file__).parent
    with contextlib.suppress(OSError):
        found = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        return found.stdout.strip()
    return ""
