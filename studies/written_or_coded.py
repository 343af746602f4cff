#!/usr/bin/env python
"""What is each difference worth alone, of the article's code and of the mended form?  Each by itself, against the text.

Starred variants are as written, at the demo's sizes. Each of the others changes one thing, either to what the authors'
public code does, or to what the mended form does. Fields that need each other change together. alpha_mix=last_window
lies between text and code: the code's place of the mix, without its bug. All are one family of comparisons, which has
the blocks that it needs. To keep them short, training sees 256 windows. vae_nn always follows drawn target songs,
because otherwise there would be nothing to mix. How songs are cut into windows stays as it is, because music of other
windows cannot be compared: of the coded GAN's 5 x 64 x 72 only the 72 pitches are tested.
"""

from typing import Any

from musiclab import Study
from musiclab.analysis.statistics import blocks_needed
from musiclab.systems import SYSTEMS, find_system

# What the code has in other places, or what lies between text and code.
MORE: dict[str, list[dict[str, Any]]] = {
    "multitrack_rnn": [{"sequence": 200}, {"counts": "three"}],
    "vae_nn": [{"alpha_mix": "last_window"}],
}
TOGETHER = [{"loss", "counts"}]  # notes are drawn from what cross-entropy learns


def differences(name: str, form: str) -> list[dict[str, Any]]:
    """What a form of a system changes of the written one: each field by itself, or with those that it needs."""
    system = find_system(name)
    written, other = (system.config().with_values(system.forms[each]) for each in ("written", form))
    changed = {
        field: value
        for field, value in other.to_json().items()
        if value != getattr(written, field) and other.spec(field).metadata["stage"] != "windows"
    }
    groups = [group for group in TOGETHER if group <= changed.keys()]
    groups += [{field} for field in changed if not any(field in group for group in groups)]
    return [{field: changed[field] for field in changed if field in group} for group in groups]


space: list[dict[str, Any]] = []
for system in SYSTEMS:
    for change in [{}, *differences(system, "coded"), *MORE.get(system, []), *differences(system, "mended")]:
        if (variant := {"system": system} | change) not in space:
            space.append(variant)

study = Study(
    name="written_or_coded",
    space=space,
    control={},
    fixed={"form": "written", "max_train": 256, "target": "drawn"},
    blocks=blocks_needed(len(space) - len(SYSTEMS)),
    objective="frechet",
)

if __name__ == "__main__":
    study.main()
