"""Checks of the room that a storage has: whether what is planned fits on its disk, and how fast it is written to."""

import os
import resource
import shlex
import shutil
import statistics
import time
import uuid
from collections import Counter
from collections.abc import Iterator

from musiclab.maintenance.doctor.finding import FAIL, OK, WARN, Finding
from musiclab.storage.files import PROBE, Storage
from musiclab.storage.inventory import Inventory
from musiclab.storage.stages import DONE
from musiclab.wording import counted, listing, size

_WRITTEN_BYTES = 4 << 20
_SLOW_BYTES_S = 2e6  # a second; a checkpoint of the largest demo system has some MB
_SPARE_BYTES = 1e9
_SPARE_FILES = 10_000
_OPEN_FILES = 1024  # Ray has hundreds open at a time


def writing(storage: Storage) -> Iterator[Finding]:
    """Whether the storage can be written to and read from, and how fast."""
    name, data = f"{PROBE}{uuid.uuid4().hex}", os.urandom(_WRITTEN_BYTES)
    began = time.monotonic()
    try:
        storage.write(name, data)
        seconds = time.monotonic() - began
        whole = storage.read(name) == data
    finally:
        storage.remove(name)
    speed = f"{storage.root} can be written to, {size(_WRITTEN_BYTES / seconds)} a second"
    if not whole:
        yield Finding(FAIL, f"{storage.root} returns other bytes than were written", "use another storage")
    elif _WRITTEN_BYTES / seconds < _SLOW_BYTES_S:
        yield Finding(WARN, f"{speed}, so trials would wait for it after each epoch", "use a faster storage")
    else:
        yield Finding(OK, speed)


def room(storage: Storage, inventory: Inventory) -> Iterator[Finding]:
    """Whether the storage's disk has room for the trials that are planned and not done."""
    need, unknown = needed(inventory)
    unfinished = {study: len(trials) for study, trials in inventory.unfinished.items()}
    known = [study for study in unfinished if study not in unknown]
    needs = [
        f"needed for {counted(sum(unfinished[study] for study in studies), 'unfinished trial')} of {listing(studies)}: "
        f"{amount}"
        for studies, amount in ((known, f"about {size(need)}"), (unknown, "unknown until one has finished"))
        if studies
    ]
    plan = "; ".join(needs) or ("no study has unfinished trials" if inventory.plans else "no study is planned")
    if not storage.is_local:
        yield Finding(OK, f"{plan}; {storage.root} does not tell how much room it has")
        return
    free = shutil.disk_usage(storage.root).free
    text = f"{size(free)} free; {plan}"
    remedy = f"make room (`musiclab clean {shlex.quote(storage.root)}` shows what nothing needs) or use another disk"
    if free < need:
        yield Finding(FAIL, text, remedy)
    elif free < need + _SPARE_BYTES:
        yield Finding(WARN, text, remedy)
    else:
        yield Finding(OK, text)
    disk = os.statvfs(storage.root)
    if disk.f_files and disk.f_favail < _SPARE_FILES:  # some file systems do not count open files
        yield Finding(WARN, f"the disk can hold only {disk.f_favail:,} more files, however small", remedy)
    if (limit := resource.getrlimit(resource.RLIMIT_NOFILE)[0]) < _OPEN_FILES:
        yield Finding(WARN, f"a process may have only {limit} files open", f"ulimit -n {_OPEN_FILES} or more")


def needed(inventory: Inventory) -> tuple[float, list[str]]:
    """About how many bytes the unfinished trials of the newest plans will take, and the studies that are not counted.

    The estimate is what finished trials and stages of the same study took, else those of the same system. A study is
    not counted if there are none.
    """
    sizes = _sizes(inventory)
    need = 0.0
    unknown: list[str] = []
    counted_keys: set[str] = set()
    for study, trials in inventory.unfinished.items():
        for trial in trials:
            missing = {
                stage: key
                for stage, key in trial.stages.items()
                if key not in counted_keys and not _is_done(inventory, key)
            }
            earlier = [sizes.get((study, stage)) or sizes.get((trial.variant.system, stage), {}) for stage in missing]
            if not all(earlier):
                unknown.append(study)
                break
            counted_keys |= set(missing.values())
            need += sum(statistics.mean(of_products.values()) for of_products in earlier)
    return need, unknown


def _is_done(inventory: Inventory, key: str) -> bool:
    return DONE in inventory.stages.get(key, ())


def _sizes(inventory: Inventory) -> dict[tuple[str, str], dict[str, int]]:
    """By a study or a system, and a stage: the bytes of each of the stage's products, by key.

    The last stage has no product; its bytes are those of the trial.
    """
    trials: Counter[str] = Counter()
    for name, info in inventory.files.items():
        if name.startswith("trials/"):
            # Twice: MLflow keeps a copy, by default in the same place.
            trials[name.split("/")[1]] += 2 * info.size
    sizes: dict[tuple[str, str], dict[str, int]] = {}
    for plan in inventory.plans:
        for trial in plan.trial_specs:
            for stage, key in trial.stages.items():
                is_last = key == trial.key
                if not (key in inventory.finished if is_last else _is_done(inventory, key)):
                    continue
                n_bytes = trials[key] if is_last else sum(file.size for file in inventory.stages[key].values())
                for name in (plan.study, trial.variant.system):
                    sizes.setdefault((name, stage), {})[key] = n_bytes
    return sizes
