"""A design: a study on given data, at a given scale and in a given form: its variants, its trials and their keys."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from musiclab.code_lock import StageCode, differing
from musiclab.data.source import Source
from musiclab.data.store import code_of_windows, store_fingerprint
from musiclab.design.claims import check_claims
from musiclab.design.factors import Factor, aliases, factors, tells_effects
from musiclab.design.naming import with_named_systems
from musiclab.design.own_measures import with_named_measures
from musiclab.design.search import CONTROL, SEARCH_BLOCK, Search, check_search
from musiclab.design.space import Ablation, combinations
from musiclab.design.spec import StudySpec, check_spec
from musiclab.design.trials import FORM, SYSTEM, TrialSpec, Variant, edition, trial_specs
from musiclab.errors import UserError
from musiclab.measures.registry import Measure, find_measure
from musiclab.systems import find_system
from musiclab.systems.config import BrokenCheck, Config
from musiclab.training.runtime import Device, Runtime
from musiclab.training.streams import Block
from musiclab.user_code import code_of, is_ours
from musiclab.wording import listing

if TYPE_CHECKING:
    from musiclab.systems.base import System


DEFAULT_FORM = "mended"
# What an objective may need, in words.
_NEEDS = {
    "pairs": "predicted pairs of windows", "target": "a target song to follow", "start": "a start window",
    "piano": "a piano that the others follow", "noise": "sampling noise",
}  # fmt: skip


class Design:
    """A study on given data at a given scale and in a form: its variants, their controls and its trials; a value.

    Args:
        spec: the study's own fields.
        source: the songs.
        system: in place of the study's own, as `StudySpec.system`.
        scale: the sizes that each system starts from, a key of `System.scales`.
        form: the form that each system starts from, a key of `System.forms`; None for the study's own, else `mended`.
        fields: fixed for this run, as values or text by name; they override what the study fixes.
        blocks: instead of the study's own number.
        adding: whether blocks are added until every comparison is clear.
        device: the kind of device that trials are to run on; it is part of their keys.
        confirmed: of a search, the values of those proposals that are compared with the control, by what they are
            called.

    Attributes:
        spec: the study's own fields, with the name of each system in place of a class or a reference.
        objective: the measure that decides.
        own_measures: the measures that the study brings.
        systems: those of the variants, by name.
        variants: in the study's order.
        controls: the variant that each variant is compared with, by name; a control's control is itself.
        device: the kind of device that trials are to run on.
        most: the number of blocks or, if blocks are added, the largest number.

    Raises:
        UserError: if anything in it cannot be right.
    """

    def __init__(
        self,
        spec: StudySpec,
        source: Source,
        *,
        system: "str | type[System[Any]] | None" = None,
        scale: str = "demo",
        form: str | None = None,
        fields: Mapping[str, Any] | None = None,
        blocks: int | None = None,
        adding: bool = False,
        device: Device = "cpu",
        confirmed: Mapping[str, dict[str, Any]] | None = None,
    ) -> None:
        spec = replace(spec, system=system) if system else spec
        check_spec(spec)
        self._again = partial(
            Design, spec, source, scale=scale, form=form, fields=fields, blocks=blocks, adding=adding, device=device
        )
        spec, systems = with_named_systems(spec)
        spec, self.own_measures = with_named_measures(spec)
        self.search = spec.space if isinstance(spec.space, Search) else None
        space = [spec.control, *(confirmed or {}).values()] if self.search else combinations(spec.space)
        self.spec, self.source, self.scale, self.adding = spec, source, scale, adding
        self.objective = self._objective(spec.objective)
        self.systems = {
            name: systems.get(name) or find_system(name)
            for name in dict.fromkeys(_system(spec, values) for values in space)
        }
        compared = {name for values in space for name in values}
        if self.search:
            check_search(self.search, self.systems[_system(spec, {})])
            compared |= self.search.space.keys()
        if system and SYSTEM in compared | spec.control.keys():
            raise UserError(f"--system is not possible, because {spec.name} says itself which systems it asks about.")
        fixed = _fixed(spec, fields or {}, compared)
        if form and FORM in compared | spec.fixed.keys():
            raise UserError(f"--form is not possible, because {spec.name} says itself which forms it asks about.")
        fixed[FORM] = form or fixed.get(FORM, DEFAULT_FORM)
        self.device, self._base, self._runtime = device, fixed, Runtime.here(device)
        labels = [CONTROL, *(confirmed or {})] if self.search else [""] * len(space)
        self.variants = [self._variant(values, label) for values, label in zip(space, labels, strict=True)]
        for name, times in Counter(variant.name for variant in self.variants).items():
            if times > 1:
                raise UserError(f"The variants of {spec.name} must differ; got {name} {times} times.")
        _check_transposed_alike(self.variants)
        check_claims(spec.claims, self.variants, [own.measure for own in self.own_measures])
        control = spec.control or (space[0] if isinstance(spec.space, Ablation) else {})
        if self.search and (trials := self.search.limits.trials or math.inf) < len(self.starts()):
            raise UserError(f"The budget must allow all {len(self.starts())} starting points; got {trials} trials.")
        self.controls = {variant.name: self._control(variant, control) for variant in self.variants}
        for number, objective in enumerate(self.objectives):
            if objective in self.objectives[:number]:
                raise UserError(f"also must have each measure once, and not the objective; got {objective.name}.")
            _check_objective(objective, self.systems, self.variants)
        self.most = blocks or spec.blocks
        first = SEARCH_BLOCK + 1 if self.search else 0  # no block that a proposal rests on judges it
        indices = [Block(spec.seed, index) for index in range(first, first + self.most)]
        self._trial_specs = trial_specs(self.systems, self.variants, indices, self._runtime, self.own_measures)
        name_by_key: dict[str, str] = {}
        for trial in self._trial_specs:
            if name_by_key.setdefault(trial.key, trial.variant.name) != trial.variant.name:
                raise UserError(
                    f"{name_by_key[trial.key]} and {trial.variant.name} are the same variant; leave one of them out."
                )

    def confirming(self, proposals: Mapping[str, dict[str, Any]]) -> "Design":
        """The same design of a search, with these as `confirmed`. No song is read again."""
        return self._again(confirmed=proposals)

    @property
    def own_systems(self) -> "dict[str, System[Any]]":
        """Those of the systems that are a user's own, by name; a worker cannot find them by their names."""
        return {name: system for name, system in self.systems.items() if not is_ours(type(system))}

    @property
    def objectives(self) -> list[Measure]:
        """The measure that decides and, of a search, those that it searches for beside it."""
        return [self.objective, *map(self._objective, self.search.also if self.search else ())]

    def _objective(self, name: Any) -> Measure:
        """The measure of that name, which must have a better direction."""
        measure = find_measure(name, [own.measure for own in self.own_measures])
        if measure.better == "neither":
            place = "also" if self.search and name in self.search.also else "The objective"
            raise UserError(
                f"{place} must be a measure with a better direction, such as frechet; got {name}, which has none."
            )
        return measure

    @property
    def trial_specs(self) -> list[TrialSpec]:
        """Every variant on each of the `most` blocks."""
        return self._trial_specs

    def trial_specs_of(self, blocks: int) -> list[TrialSpec]:
        """Every variant on each of the first `blocks`, at most `most`."""
        return self._trial_specs[: blocks * len(self.variants)]

    @property
    def form(self) -> str:
        """The form that all variants start from; empty if forms are compared."""
        forms = {variant.form for variant in self.variants}
        return forms.pop() if len(forms) == 1 else ""

    @property
    def aliases(self) -> dict[str, list[str]]:
        """Which effects and interactions the variants confound; empty if they are no fraction."""
        return aliases(self._factors)

    @property
    def main_effects(self) -> int:
        """How many values are tested against the control's, averaged over the other fields."""
        if len(set(self.controls.values())) != 1 or not tells_effects(self._factors):
            return 0
        return sum(len(factor.values) - 1 for factor in self._factors)

    @property
    def _factors(self) -> list[Factor]:
        return factors({variant.name: variant.values for variant in self.variants})

    @property
    def comparisons(self) -> int:
        """How many variants are compared with a control; of a search that is not over, how many will be."""
        if self.search and len(self.variants) == 1:
            return self.search.confirm
        return sum(name != control for name, control in self.controls.items())

    def config(self, trial: TrialSpec) -> Any:
        """The typed config of a trial."""
        return self.systems[trial.variant.system].config(**trial.variant.config)

    def proposed(self, values: dict[str, Any], label: str = "") -> TrialSpec:
        """The trial of a search for a configuration, on the search's block."""
        variants = [self._variant(values, label)]
        blocks = [Block(self.spec.seed, SEARCH_BLOCK)]
        (trial,) = trial_specs(self.systems, variants, blocks, self._runtime, self.own_measures)
        return trial

    def misfit(self, values: dict[str, Any]) -> str:
        """Why fields of a configuration that is searched do not fit together, in a sentence; empty if they do.

        Raises:
            BrokenCheck: the config's own check fails where it should tell.
        """
        try:
            self._config(_system(self.spec, values), values.get(FORM, self._base[FORM]), dict(_fields_of(values)))
        except BrokenCheck:
            raise
        except UserError as error:
            return str(error)
        return ""

    def starts(self) -> list[dict[str, Any]]:
        """The configurations that a search tries first: the control with changes, or the article's and the control.

        A value that is outside of its field's range is replaced by the nearest one in it. A configuration whose fields
        do not fit together then is left out.
        """
        assert self.search is not None, "only a search has starting points"
        control, form = self.spec.control, self._base[FORM]
        if self.search.starts is None:
            changed = [("written", {}), (form, control)]
        else:
            changed = [(form, control | start) for start in self.search.starts]
        starts = []
        for form, values in changed:
            config = self._config(_system(self.spec, {}), form, values)
            inside = {name: each.nearest(getattr(config, name)) for name, each in self.search.space.items()}
            if (start := self.search.active(inside)) not in starts and not self.misfit(start):
                starts.append(start)
        return starts

    def _config(self, system_name: str, form: str, values: Mapping[str, Any]) -> Config:
        """The config of a system in a form with these values."""
        system = self.systems[system_name]
        common = {field: value for field, value in self._base.items() if hasattr(system.config, field)}
        config: Config = system.config().with_values(
            system.scales[self.scale] | system.forms[form] | common | dict(values)
        )
        return config

    def _variant(self, values: dict[str, Any], label: str = "") -> Variant:
        name = _system(self.spec, values)
        system, form = self.systems[name], values.get(FORM, self._base[FORM])
        if form not in list(system.forms):
            raise UserError(f"form must be one of {', '.join(system.forms)}; got {form!r}.")
        varied = dict(_fields_of(values))
        for field in self._base:
            # A study of several systems may fix what any of them has. If none has it, this raises the error.
            if field != FORM and not any(hasattr(other.config, field) for other in self.systems.values()):
                system.config.spec(field)
        config = self._config(name, form, varied)
        typed: dict[str, Any] = {field: values[field] for field in (SYSTEM, FORM) if field in values}
        typed |= {field: getattr(config, field) for field in varied}
        if self.search:
            typed = self.search.active({field: getattr(config, field) for field in self.search.space})
        data = store_fingerprint(self.source, config.window_spec)
        return Variant(name, typed, config.to_json(), data, form, label)

    def _control(self, variant: Variant, control: dict[str, Any]) -> str:
        """Name of the variant that has the control's values, of the same system and form if the control names none."""
        if self.search:
            return CONTROL
        system, form = control.get(SYSTEM, variant.system), control.get(FORM, variant.form)
        if system in self.systems:
            config = self.systems[system].config
            wanted = {name: config.value(name, value) for name, value in _fields_of(control)}
            for other in self.variants:
                same = (other.system, other.form) == (system, form)
                if same and dict(_fields_of(other.values)) == wanted:
                    return other.name
        raise UserError(
            f"control must be one variant of the space with all its fields, such as {self.variants[0].values}; got "
            f"{control or 'none'}."
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
        """The name of what all comparable trials of the study have in common; the number of blocks is no part of it."""
        on_first_block = {trial.variant.name: trial for trial in self.trial_specs_of(1)}
        controls = [on_first_block[control] for control in dict.fromkeys(self.controls.values())]
        search = self.search.to_json() if self.search else None
        return edition(self.spec.name, self.objective.full_name, controls, search)

    @property
    def folder(self) -> str:
        """The folder in the storage of the plan and all else of this edition."""
        return f"studies/{self.spec.name}/{self.edition}"

    def code(self, system: str) -> dict[str, StageCode]:
        """The code that decides the result of a trial of the system, by stage; that of its windows first.

        Of what is a user's own, what it is given by musiclab, its files and its packages follow, `own-system` and
        `step_lstm: helper.py`, so that those that have changed can be named later.
        """
        generator, kind = self.systems[system], type(self.source)
        codes = [code_of_windows(self.source), *(code for stage in generator.stages for code in generator.code(stage))]
        codes += [StageCode(own.name, 1, own.code) for own in self.own_measures]
        own: dict[str, Any] = {each.name: each.function for each in self.own_measures}
        if not is_ours(type(generator)):
            own[system] = type(generator)
        if not is_ours(kind):
            own[f"data/{kind.kind}"] = kind
        for name, thing in own.items():
            code = code_of(thing)
            codes += [*code.interfaces, *(StageCode(f"{name}: {file}", 1, part) for file, part in code.named.items())]
        return {code.name: code for code in codes}

    @property
    def unlocked_code(self) -> str:
        """One line about code that differs from the lock; empty if none does."""
        return differing({name: code for system in self.systems for name, code in self.code(system).items()}.values())


def _system(spec: StudySpec, values: dict[str, Any]) -> str:
    """The name of the system of a variant with those values: its own, else the study's."""
    name = values.get(SYSTEM, spec.system)
    if not name or not isinstance(name, str):
        raise UserError(f"{spec.name} names no system; give the study one, or each variant of its space.")
    return name


def _fields_of(values: dict[str, Any]) -> list[tuple[str, Any]]:
    """The fields of a config among a variant's values."""
    return [(name, value) for name, value in values.items() if name not in (SYSTEM, FORM)]


def _fixed(spec: StudySpec, given: Mapping[str, Any], compared: set[str]) -> dict[str, Any]:
    """What is the same for all variants: what the study fixes, then what --set gives."""
    for name in spec.fixed:
        if name in compared and not isinstance(spec.space, list):  # a listed variant may change what is fixed
            raise UserError(f"{spec.name} both fixes {name} and compares values of it; leave one out.")
    for name in given:
        if name == FORM:
            raise UserError("--set form is not possible, because a form is no field; use --form instead.")
        if name in compared:
            raise UserError(f"--set {name} is not possible, because {spec.name} compares values of {name}.")
    return spec.fixed | dict(given)


def _check_transposed_alike(variants: list[Variant]) -> None:
    """UserError unless one choice of `transpose` holds for all variants.

    Music in one key lies nearer to other music in it than music in many keys does, whoever made it.
    """
    choices = dict.fromkeys(variant.config["transpose"] for variant in variants)
    if len(choices) > 1:
        raise UserError(
            f"transpose must be the same in all variants, because distances in one key and in many keys cannot be "
            f"compared; got {listing(list(choices))}."
        )


def _check_objective(objective: Measure, systems: dict[str, "System[Any]"], variants: list[Variant]) -> None:
    """UserError if any variant lacks what the objective is computed from."""
    for need in objective.needs:
        without = [name for name, system in systems.items() if need not in (*system.provides, *system.conditions)]
        if without:
            have = "has" if len(without) == 1 else "have"
            raise UserError(
                f"The objective {objective.name} needs {_NEEDS.get(need, need)}, but {listing(without)} {have} none; "
                f"choose other systems, or an objective that all have, such as frechet."
            )
    if "target" in objective.needs:
        from musiclab.systems.targets import NONE  # imports torch, which the systems have imported by now

        if without := [variant.name for variant in variants if variant.config["target"] == NONE]:
            raise UserError(
                f"The objective {objective.name} needs a target song, but {without[0]} has none; fix target, such as "
                "fixed={'target': 'drawn'}."
            )
