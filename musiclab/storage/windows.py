"""Windows: the packed windows that trials of a storage see, cut once for each source and spec."""

from musiclab.data.source import Source
from musiclab.data.store import build, open_store
from musiclab.data.windows import WindowSpec
from musiclab.design.trials import TrialSpec
from musiclab.resources import available_cpus
from musiclab.storage.files import Storage, cache_folder
from musiclab.systems.config import Config
from musiclab.training.windows import BlockWindows, block_windows


def ensure_store(source: Source, fingerprint: str, spec: WindowSpec, storage: Storage) -> None:
    """Cut the songs into the windows that a variant needs, if that has not been done yet."""
    name = f"data/{fingerprint}"
    if storage.is_local:
        build(source, spec, storage.local("data"), workers=available_cpus())
    elif not storage.exists(f"{name}/songs.json"):
        built = build(source, spec, cache_folder() / "data", workers=available_cpus())
        storage.upload(built.folder, name, last="songs.json")


def trial_windows(storage: Storage, trial: TrialSpec, config: Config) -> BlockWindows:
    """The windows of the trial's block; UserError if there are too few."""
    return block_windows(
        open_store(storage.local(f"data/{trial.variant.data}")),
        trial.block,
        config.max_train,
        config.max_eval,
        config.starts,
    )
