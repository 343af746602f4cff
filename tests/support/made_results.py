"""Finished studies as their storage holds them, made without training anything."""

from pathlib import Path
from typing import Any

from musiclab.analysis.results import Results
from musiclab.design.trials import TrialSpec, Variant
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.storage.trial_documents import TrialCost, TrialData
from musiclab.training.streams import Block
from tests.support.made_records import made_plan, made_record

RUN = TrialCost(
    began=1_700_000_000.0,
    ended=1_700_000_012.5,
    seconds={"vae": 10.0, "latent": 1.0, "generate": 0.5, "measure": 0.75},
    peak_memory_mib=700,
    device="cpu",
    host="a",
    pid=1,
    source="chorales",
    versions={"musiclab": "0", "python": "3.11", "torch": "2", "numpy": "2"},
)


def made_study(
    folder: Path,
    values: dict[str, list[dict[str, float] | str | None]],
    *,
    name: str = "made",
    music: dict[str, float] | None = None,
    **plan: Any,
) -> Results:
    """A study with one field, `latent_dim`, read back from `folder`.

    `values` has by variant, the first being the control, what each block measured: measures, why it failed, or None
    for a trial that was not run; `music` what real music and ceilings score. `plan` changes the plan.
    """
    storage = Storage(str(folder))
    records, cells = Records(storage), []
    for number, (variant_name, blocks) in enumerate(values.items()):
        config = {"latent_dim": variant_name, "beta": 1.0}
        variant = Variant("vae_nn", {"latent_dim": variant_name}, config, "d" * 8, plan.get("form", ""))
        for block, measured in enumerate(blocks):
            stages = {"vae": f"{name}v{number}b{block}", "measure": f"{name}m{number}b{block}"}
            cell = TrialSpec(variant, Block(0, block), stages)
            cells.append(cell)
            if isinstance(measured, dict):
                record = made_record(
                    measured,
                    music,
                    key=cell.key,
                    config=config,
                    block=cell.block,
                    stages=stages,
                    data=TrialData(fingerprint="d" * 8, split="s", songs={"train": 3}, windows={"train": 9}),
                )
                records.put(cell.key, record, RUN, {})
            elif isinstance(measured, str):
                records.put_failure(cell.key, measured, measured, again=False)
    control = cells[0].variant.name
    written = {
        "study": name,
        "controls": {cell.variant.name: control for cell in cells},
        "blocks": max(map(len, values.values())),
        "trial_specs": tuple(cells),
    }
    records.plans.put(f"studies/{name}/e", made_plan(**(written | plan)))
    return Results.read(storage, name)
