"""Checks of the place that a storage has: how fast it is written to, and whether what is planned has room."""

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
from musiclab.wording import size

_WRITTEN_BYTES = 4 << 20
_SLOW_BYTES_S = 2e6  # a checkpoint of the largest demo system, some MB, would take seconds
_SPARE_BYTES = 1e9
_SPARE_FILES = 10_000
_OPEN_FILES = 1024  # Ray opens hundreds


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
        yield Finding(FAIL, f"{storage.root} gives back other bytes than were written", "use another storage")
    elif _WRITTEN_BYTES / seconds < _SLOW_BYTES_S:
        yield Finding(WARN, f"{speed}: trials would wait for it after each epoch", "use a faster one")
    else:
        yield Finding(OK, speed)


def room(storage: Storage, inventory: Inventory) -> Iterator[Finding]:
    """Whether what is planned and not done yet has room on the storage's disk."""
    need, unknown = needed(inventory)
    left = {study: len(cells) for study, cells in inventory.unfinished.items()}
    known = {study: trials for study, trials in left.items() if study not in unknown}
    plans = (
        [f"the {sum(known.values())} unfinished trials of {', '.join(known)} need about {size(need)}"] if known else []
    )
    if unknown:
        trials = sum(left[study] for study in unknown)
        plans.append(
            f"what the {trials} unfinished trials of {', '.join(unknown)} need is not known before one is done"
        )
    plan = "; ".join(plans) or ("no study has unfinished trials" if inventory.plans else "no study is planned")
    if not storage.is_local:
        yield Finding(OK, f"{plan}; how much room there is, {storage.root} does not say")
        return
    free = shutil.disk_usage(storage.root).free
    found = f"{size(free)} free; {plan}"
    remedy = f"make room (`musiclab clean {shlex.quote(storage.root)}` shows what nothing needs) or use another disk"
    if free < need:
        yield Finding(FAIL, found, remedy)
    else:
        yield Finding(WARN if free < need + _SPARE_BYTES else OK, found, remedy if free < need + _SPARE_BYTES else "")
    disk = os.statvfs(storage.root)
    if disk.f_files and disk.f_favail < _SPARE_FILES:  # some file systems do not count them
        yield Finding(WARN, f"the disk has room for only {disk.f_favail:,} more files, whatever their size", remedy)
    if (limit := resource.getrlimit(resource.RLIMIT_NOFILE)[0]) < _OPEN_FILES:
        yield Finding(WARN, f"a process may open only {limit} files at a time", f"ulimit -n {_OPEN_FILES} or more")


def needed(inventory: Inventory) -> tuple[float, list[str]]:
    """About how many bytes the unfinished trials of the newest plans will take, and the studies that are not counted.

    As much as finished trials and stages of the same study took, or else of the same system.
    """
    took = _took(inventory)
    need, unknown, counted = 0.0, [], set()
    for study, cells in inventory.unfinished.items():
        for cell in cells:
            lacking = {
                stage: key for stage, key in cell.stages.items() if key not in counted and not _is_done(inventory, key)
            }
            known = [took.get((study, stage)) or took.get((cell.variant.system, stage)) for stage in lacking]
            if not all(known):
                unknown.append(study)
                break
            counted |= set(lacking.values())
            need += sum(statistics.mean(sizes.values()) for sizes in known)
    return need, unknown


def _is_done(inventory: Inventory, key: str) -> bool:
    return DONE in inventory.stages.get(key, ())


def _took(inventory: Inventory) -> dict[tuple[str, str], dict[str, int]]:
    """By a study or a system, and a stage: the bytes that each of its products takes; of the last, the trial's own."""
    trials: Counter[str] = Counter()
    for name, info in inventory.files.items():
        if name.startswith("trials/"):
            # MLflow, in the same place unless told otherwise, has a copy.
            trials[name.split("/")[1]] += 2 * info.size
    took: dict[tuple[str, str], dict[str, int]] = {}
    for plan in inventory.plans:
        for cell in plan.trial_specs:
            for stage, key in cell.stages.items():
                done = key in inventory.finished if key == cell.key else _is_done(inventory, key)
                if not done:
                    continue
                held = trials[key] if key == cell.key else sum(file.size for file in inventory.stages[key].values())
                for of in (plan.study, cell.variant.system):
                    took.setdefault((of, stage), {})[key] = held
    return took
