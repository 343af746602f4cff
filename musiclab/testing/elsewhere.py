"""What code of a user's does in another process, which has nothing of theirs but what is sent to workers."""

import hashlib
import tempfile
from collections.abc import Callable
from typing import Any

from musiclab.errors import UserError
from musiclab.process.child import call_in_child
from musiclab.sending import Sent
from musiclab.testing.made import MemoryFiles, products, run_stages, song_store, stage_run
from musiclab.training.streams import Block

_HASH_SEED = "7"  # texts get other hashes there, so sets of them another order
_TIMEOUT_S = 600.0  # code of a user's may hang

Digests = dict[str, dict[str, str]]


def digests(files: MemoryFiles) -> Digests:
    """A checksum of each file that a trial's stages left, by stage and name."""
    by_stage: Digests = {}
    for (stage, name), data in products(files).items():
        by_stage.setdefault(stage, {})[name] = hashlib.sha256(data).hexdigest()
    return by_stage


def digests_elsewhere(sent: Sent, config: Any, block: Block) -> Digests:
    """The same of a trial that runs in another process. Raises as `call_elsewhere` does."""
    files: Digests = call_elsewhere(_digests_of, sent.to_json(), config.to_json(), [block.seed, block.index])
    return files


def _digests_of(sent: dict[str, Any], values: dict[str, Any], block: list[int]) -> Digests:
    kind = Sent.of_json(sent).load()
    config = kind.config().with_values(values)
    run = stage_run(song_store(config.window_spec), Block(*block), config, MemoryFiles())
    return digests(run_stages(kind(), run))


def call_elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of musiclab's returns in a process of its own, in an empty folder.

    Args:
        function: takes and returns what JSON can say.
        arguments: its arguments.

    Raises:
        UserError: the function raises, the process dies, or ten minutes have passed.
    """
    with tempfile.TemporaryDirectory(prefix="musiclab-check-") as folder:
        try:
            return call_in_child(
                function.__module__, function.__name__, _TIMEOUT_S, *arguments, folder=folder, PYTHONHASHSEED=_HASH_SEED
            )
        except UserError as error:
            raise UserError(f"{str(error).rstrip('.')}.") from error
