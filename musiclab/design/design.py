"""A design: a study on a data source, so that its variants, trials and their keys are known."""

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from musiclab.code_lock import StageCode, differing
from musiclab.data.source import Source
from musiclab.data.store import code_of_windows, store_fingerprint
from musiclab.design.claims import check_claims
from musiclab.design.factors import Factor, aliases, factors, tells_effects
from musiclab.design.space import Ablation, combinations
from musiclab.design.spec import StudySpec, check_spec
from musiclab.design.trials import SYSTEM, TrialSpec, Variant, edition, trial_specs
from musiclab.errors import UserError
from musiclab.measures.registry import Measure, find_measure
from musiclab.systems import find_system
from musiclab.training.runtime import Device, Runtime
from musiclab.training.streams import Block

if TYPE_CHECKING:
    from musiclab.systems.base import System


# What an objective may need, where its name does not say it.
_NEEDS = {
    "pairs": "predicted pairs of windows", "target": "a target song to follow", "start": "a start window",
    "piano": "a piano that the others follow", "noise": "sampling noise",
}  # fmt: skip


class Design:
    """A study on a data source and at a scale: its variants, their controls and its cells; a value.

    `controls` has the name of the variant that each one is compared with; a control is its own. `most` is the number of
    blocks, or the largest number if blocks are added while the study runs (`adding`).

    Args:
        spec: the study's own fields.
        source: the songs.
        scale: which of its presets each system starts from, `demo` or `article`.
        fields: what is fixed for this run, as values or text by name; it goes before what the study fixes.
        blocks: instead of the study's own number.
        adding: whether blocks are added until every comparison is clear.
        device: the kind of device that trials are to run on; it is part of their keys.

    Raises:
        UserError: if anything in it cannot be right.
    """

    def __init__(
        self,
        spec: StudySpec,
        source: Source,
        *,
        scale: str = "demo",
        fields: Mapping[str, Any] | None = None,
        blocks: int | None = None,
        adding: bool = False,
        device: Device = "cpu",
    ) -> None:
        check_spec(spec)
        listed = combinations(spec.space)
        self.spec, self.source, self.scale, self.adding = spec, source, scale, adding
        self.objective = find_measure(spec.objective)
        if self.objective.better == "neither":
            raise UserError(f"{spec.objective} has no better direction, so it cannot be an objective; try frechet.")
        self.systems = {name: find_system(name) for name in dict.fromkeys(_system(spec, values) for values in listed)}
        fixed = _fixed(spec, fields or {}, {name for values in listed for name in values})
        self.variants = [self._variant(scale, fixed, values) for values in listed]
        for name, times in Counter(variant.name for variant in self.variants).items():
            if times > 1:
                raise UserError(f"{spec.name} has the variant {name} {times} times; each one of a space stands once.")
        check_claims(spec.claims, self.variants)
        control = spec.control or (listed[0] if isinstance(spec.space, Ablation) else {})
        self.controls = {variant.name: self._control(variant, control) for variant in self.variants}
        _check_objective(self.objective, self.systems, self.variants)
        self.most = blocks or spec.blocks
        indices = [Block(spec.seed, index) for index in range(self.most)]
        self._trial_specs = trial_specs(self.systems, self.variants, indices, Runtime.here(device))
        names: dict[str, str] = {}
        for cell in self._trial_specs:
            if names.setdefault(cell.key, cell.variant.name) != cell.variant.name:
                raise UserError(
                    f"{names[cell.key]} and {cell.variant.name} are one and the same; leave one of them out."
                )

    @property
    def trial_specs(self) -> list[TrialSpec]:
        """Every variant on every block that there may be."""
        return self._trial_specs

    def trial_specs_of(self, blocks: int) -> list[TrialSpec]:
        """Every variant on each of the first `blocks`, which are at most `most`."""
        return self._trial_specs[: blocks * len(self.variants)]

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

    def config(self, cell: TrialSpec) -> Any:
        """The system's typed config of a cell."""
        return self.systems[cell.variant.system].config(**cell.variant.config)

    def _variant(self, scale: str, fixed: dict[str, Any], values: dict[str, Any]) -> Variant:
        name = _system(self.spec, values)
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
        on_first_block = {cell.variant.name: cell for cell in self.trial_specs_of(1)}
        controls = [on_first_block[control] for control in dict.fromkeys(self.controls.values())]
        return edition(self.spec.name, self.objective.full_name, controls)

    @property
    def folder(self) -> str:
        """Where the storage has the plan, and all else of this edition."""
        return f"studies/{self.spec.name}/{self.edition}"

    def code(self, system: str) -> dict[str, StageCode]:
        """The code that decides what a trial of the system comes to, by stage; that of its windows first."""
        made_by = self.systems[system]
        codes = [code_of_windows(self.source), *(code for stage in made_by.stages for code in made_by.code(stage))]
        return {code.name: code for code in codes}

    @property
    def unlocked_code(self) -> str:
        """One line about code that is not what the lock holds; empty if all is."""
        return differing({name: code for system in self.systems for name, code in self.code(system).items()}.values())


def _system(spec: StudySpec, values: dict[str, Any]) -> str:
    """The system of the variant of those values: their own, else the study's."""
    name = values.get(SYSTEM, spec.system)
    if not name or not isinstance(name, str):
        raise UserError(f"{spec.name} names no system; give the study one, or each variant of its space.")
    return name


def _fixed(spec: StudySpec, given: Mapping[str, Any], compared: set[str]) -> dict[str, Any]:
    """What is the same for all variants: the study's own, then what --set gives."""
    for name in spec.fixed:
        if name in compared and not isinstance(spec.space, list):  # a listed variant says what it changes
            raise UserError(f"{spec.name} both fixes {name} and compares values of it; leave one out.")
    for name in given:
        if name in compared:
            raise UserError(f"--set {name} is not possible: {spec.name} compares values of {name}.")
    return {**spec.fixed, **given}


def _check_objective(objective: Measure, systems: dict[str, "System[Any]"], variants: list[Variant]) -> None:
    """UserError where not every variant compared has what the objective is worked out from."""
    for need in objective.needs:
        without = [name for name, system in systems.items() if need not in (*system.provides, *system.conditions)]
        if without:
            raise UserError(
                f"The objective {objective.name} needs {_NEEDS.get(need, need)}, which {' and '.join(without)} "
                f"{'does' if len(without) == 1 else 'do'} not have; take systems that do, or an objective that all "
                f"have, such as frechet."
            )
    if "target" in objective.needs:
        from musiclab.systems.targets import NONE  # torch comes with it, which the systems have brought by now

        if without := [variant.name for variant in variants if variant.config["target"] == NONE]:
            raise UserError(
                f"The objective {objective.name} needs a target song, which {without[0]} has none of; fix target, such "
                "as fixed={'target': 'drawn'}."
            )
