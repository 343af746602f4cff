"""Trials as they are planned: variants, blocks, stages and keys; pure, nothing is read or started."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from musiclab.fields import Fields, known_fields
from musiclab.hashing import content_hash
from musiclab.training.runtime import Runtime
from musiclab.training.streams import Block

if TYPE_CHECKING:  # a system imports torch, and reading a plan must not
    from musiclab.measures.own import OwnMeasure
    from musiclab.systems.base import System


# The fields of a space that are no fields of a config: a system, and the form of it that a variant starts from.
SYSTEM, FORM = "system", "form"


@dataclass(frozen=True)
class Variant:
    """One configuration of a study.

    Attributes:
        system: its name.
        values: the values of the fields that the study varies.
        config: all fields of the system's config as plain values, from which a trial makes the typed config again.
        data: the fingerprint of the window store that it needs.
        form: the form that its system starts from; empty if an earlier version of musiclab planned it.
        label: what it is called, if not by its values: `control` or `proposal 12` in a search.
    """

    system: str
    values: dict[str, Any]
    config: dict[str, Any]
    data: str
    form: str = ""
    label: str = ""

    @property
    def name(self) -> str:
        """How it is shown: `latent_dim=16`, or `note_rnn, written, layers=2` if systems and forms are compared."""
        if self.label:
            return self.label
        settings = [
            str(value) if field in (SYSTEM, FORM) else f"{field}={value}" for field, value in self.values.items()
        ]
        return ", ".join(settings) or self.system


@dataclass(frozen=True)
class TrialSpec:
    """One variant on one block, to be run as one trial.

    Attributes:
        variant: its configuration.
        block: its replicate.
        stages: the keys of its stages by name, in order; the last is the trial's own key.
        runtime: what the plan asks for to run it on; None if an earlier version of musiclab planned it.
    """

    variant: Variant
    block: Block
    stages: dict[str, str]
    runtime: Runtime | None = None

    @property
    def key(self) -> str:
        """The trial's key: the hash of its last stage, which depends on all the others."""
        return list(self.stages.values())[-1]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a worker or a plan; `from_json` reads them."""
        return asdict(self) | {"stages": list(self.stages.items())}  # pairs: JSON that sorts keys would lose the order

    @classmethod
    def from_json(cls, value: object) -> "TrialSpec":
        """Read what `to_json` wrote; fields that this version does not know are ignored.

        Raises:
            ValueError: if it makes no sense.
        """
        fields = Fields(value)
        variant = Fields(fields.take("variant", dict))
        stages = [(name, key) for name, key in fields.take("stages", list)]
        if not stages or not all(isinstance(text, str) for pair in stages for text in pair):
            raise ValueError("stages must be pairs of a name and a key")
        return cls(
            variant=Variant(
                system=variant.take("system", str),
                values=variant.table("values", object),
                config=variant.table("config", object),
                data=variant.take("data", str),
                form=variant.take_or("form", str, ""),
                label=variant.take_or("label", str, ""),
            ),
            block=block_from_json(fields.take("block", dict)),
            stages=dict(stages),
            runtime=runtime_from_json(fields.take_or("runtime", dict, None)),
        )


def block_from_json(value: object) -> Block:
    """Read a block; fields that this version does not know are ignored."""
    fields = Fields(value)
    return Block(seed=fields.take("seed", int), index=fields.take("index", int))


def runtime_from_json(value: Mapping[str, Any] | None) -> Runtime | None:
    """Read a runtime; None if there is none, as earlier versions wrote it."""
    return Runtime(**known_fields(Runtime, value)) if value else None


def trial_specs(
    systems: dict[str, "System[Any]"],
    variants: Iterable[Variant],
    blocks: Iterable[Block],
    runtime: Runtime,
    own: "Collection[OwnMeasure]" = (),
) -> list[TrialSpec]:
    """Every variant on every block, block by block, so that an interrupted study has whole blocks to compare.

    The code of a user's `own` measures enters the key of the last stage alone, which measures.
    """
    code = {each.name: each.code for each in own}

    def stages(variant: Variant, config: Any, block: Block) -> dict[str, str]:
        keys = systems[variant.system].stage_keys(config, block, variant.data, runtime)
        last = list(keys)[-1]
        return keys | {last: content_hash([keys[last], code])} if code else keys

    configured = [(variant, systems[variant.system].config(**variant.config)) for variant in variants]
    return [
        TrialSpec(variant, block, stages(variant, config, block), runtime)
        for block in blocks
        for variant, config in configured
    ]


def edition(study: str, objective: str, controls: Iterable[TrialSpec], search: dict[str, Any] | None = None) -> str:
    """The name of an edition: what all comparable trials of a study have in common.

    It depends on the keys of the controls, and so on system, fixed fields, data, seed and code. It does not depend on
    the other variants or on the number of blocks, so that both may grow.

    Args:
        study: its name.
        objective: full name of the measure.
        controls: the controls' trials on the first block.
        search: what is searched, if anything is.
    """
    compared = [[control.variant.name, control.key] for control in controls]
    return content_hash([study, objective, *compared, *([search] if search else [])], 12)
