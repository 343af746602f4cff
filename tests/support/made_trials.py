"""A trial's stages run in memory, interrupted where a test wants it."""

import json

from musiclab.testing.made import (
    Interrupted,
    MemoryFiles,
    made_store,
    products,
    run_stages,
    stage_run,
    windows_of,
)
from musiclab.training.files import CURVES

__all__ = [
    "Interrupted", "MemoryFiles", "curves", "made_store", "products", "run_stages", "stage_run", "windows_of",
]  # fmt: skip


def curves(files: MemoryFiles) -> dict[str, list[tuple[str, int, float]]]:
    """The points of each stage's curves without their times."""
    return {
        stage: [(point["name"], point["step"], point["value"]) for point in json.loads(data)]
        for (stage, name), data in files.trial.items()
        if name == CURVES
    }
