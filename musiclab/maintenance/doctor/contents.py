"""Checks of what a storage holds: records, stages, plans and windows, what kills have left, failures, clocks."""

import json
import shlex
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from musiclab.code_lock import locked
from musiclab.data.store import open_store
from musiclab.errors import UserError
from musiclab.hashing import content_hash
from musiclab.maintenance.doctor.finding import FAIL, OK, WARN, Finding
from musiclab.progress import Progress
from musiclab.storage.documents import NO_DIGEST
from musiclab.storage.files import HALF
from musiclab.storage.inventory import Inventory
from musiclab.storage.records import FAILURE_LOG
from musiclab.storage.stages import DONE
from musiclab.training.files import CHECKPOINT
from musiclab.wording import size

_SHOWN = 3  # of files that have the same
_AHEAD_S = 60.0  # by as much two machines' clocks may differ


@dataclass(frozen=True)
class _Kind:
    """A kind of file by how its name begins and ends: what it is called, how bad damage of it is, and what helps."""

    begins: str
    ends: str
    called: str
    level: str
    remedy: str


# The first that fits.
_KINDS = (
    _Kind("trials/", "/record.json", "records", FAIL, "run the study again: it makes them anew"),
    _Kind("trials/", "/run.json", "notes of what a trial cost", WARN, "reports do without; or delete the trial's "
          "record.json and run the study again"),
    _Kind("trials/", "/failed.json", "notes of a failure", WARN, "run the study again"),
    _Kind("trials/", "", "samples", FAIL, "delete record.json of that trial and run its study again"),
    _Kind("stages/", CHECKPOINT, "checkpoints", WARN, "nothing: training starts there afresh"),
    _Kind("stages/", "", "files of stages", FAIL, "nothing, for a study makes anew what it needs; for `musiclab "
          "generate`, delete record.json of that trial and run its study again"),
    _Kind("scales/", "", "scales", WARN, "nothing: the next trial that needs one makes it anew"),
    _Kind("splits/", "", "splits", FAIL, "delete it; the next trial with that split writes it anew"),
    _Kind("studies/", "", "plans", FAIL, "run the study again: it writes its plan anew"),
    _Kind("data/", "", "windows", FAIL, "delete this folder; the next run of a study builds it again"),
)  # fmt: skip

_OLDER = "read it with the version that wrote it; this one takes none of it, and running the study again begins anew"


def work(inventory: Inventory) -> Iterator[Finding]:
    """Who is at work there."""
    yield Finding(OK, "; ".join(inventory.at_work) or "nobody runs or mirrors a study there now")


def damage(inventory: Inventory) -> Iterator[Finding]:
    """Files that are not what was written, all of them read."""
    _read_all(inventory)
    found, newer = inventory.records.damage, inventory.records.newer
    for name, error in sorted(newer.items()):
        yield Finding(FAIL, f"{name} {error.reason}", "install a newer musiclab to read it")
    groups: dict[tuple[_Kind, str], list[str]] = {}
    for name, why in sorted(found.items()):
        kind = next(kind for kind in _KINDS if name.startswith(kind.begins) and name.endswith(kind.ends))
        groups.setdefault((kind, why), []).append(name)
    for (kind, why), names in groups.items():
        shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN:,} more" if names[_SHOWN:] else "")
        yield Finding(kind.level, f"damaged {kind.called}: {shown}: {why}", _OLDER if why == NO_DIGEST else kind.remedy)
    if not found and not newer:
        done = sum(DONE in files for files in inventory.stages.values())
        yield Finding(
            OK,
            f"{len(inventory.plans):,} plans, {len(inventory.finished):,} records with their samples and {done:,} "
            "finished stages are as they were written",
        )


def _read_all(inventory: Inventory) -> None:
    """Note in the records' `damage` all that is not what was written."""
    records, storage = inventory.records, inventory.storage
    others = [name for name in inventory.files if name.startswith(("scales/", "splits/")) and HALF not in name]
    stores = inventory.stores if storage.is_local else []  # else they would be copied here
    total = len(inventory.finished) + len(inventory.stages) + len(others) + len(stores)
    with Progress("read", total) as progress:
        for key in inventory.finished:
            _read_trial(inventory, key)
            progress.update()
        for key, files in inventory.stages.items():
            if DONE in files:
                records.stages.check(key)
            else:
                records.stages.curves({"": key})
                name = f"stages/{key}/{CHECKPOINT}"
                if (
                    CHECKPOINT in files and records.stages.epochs_kept(key) is None and storage.exists(name)
                ):  # it may be over
                    records.damage[name] = "it cannot be read"
            progress.update()
        for name in others:
            _read_other(inventory, name)
            progress.update()
        for name in stores:
            try:
                open_store(storage.local(f"data/{name}"))
            except UserError as error:
                records.damage[f"data/{name}"] = str(error)
            progress.update()
    for name in inventory.files:
        if name.startswith("trials/") and name.endswith("/failed.json"):
            records.failure(name.split("/")[1])


def _read_trial(inventory: Inventory, key: str) -> None:
    """A finished trial's samples, and what it cost."""
    records = inventory.records
    record = records.get(key)
    if record is None or record.key != key:
        records.damage[f"trials/{key}/record.json"] = "it is another trial's"
    there = inventory.storage.names(f"trials/{key}/samples")
    for name, digest in (record.samples if record else {}).items():
        sample = f"trials/{key}/samples/{name}"
        if name not in there:
            records.damage[sample] = "it is missing"
        elif content_hash(inventory.storage.read(sample).hex()) != digest:
            records.damage[sample] = "it is not what was written"
    records.run(key)


def _read_other(inventory: Inventory, name: str) -> None:
    """A scale, or a split, whose name is the hash of what it says."""
    key = name.partition("/")[2].removesuffix(".json")
    if name.startswith("scales/"):
        inventory.records.baselines(key)
        return
    try:
        if content_hash(json.loads(inventory.storage.read(name))) != key:
            raise ValueError
    except (ValueError, RecursionError):
        inventory.records.damage[name] = "it is not what was written"


def leftovers(inventory: Inventory, place: str) -> Iterator[Finding]:
    """What kills and changed studies have left, which `clean` removes."""
    if inventory.at_work:
        yield Finding(OK, "not looked for, while somebody is at work there")
        return
    reasons, held = Counter[str](), Counter[str]()
    for leftover in inventory.leftovers:
        reasons[leftover.why] += 1
        held[leftover.why] += leftover.size
    for why, times in reasons.items():
        yield Finding(
            WARN,
            f"{why}: {times:,}, {size(held[why])}",
            f"musiclab clean {shlex.quote(place)} lists them, with --remove it removes them",
        )
    for name, bytes_held in inventory.unnamed_windows.items():
        yield Finding(
            OK, f"windows that no plan names: {inventory.storage.path(name)}, {size(bytes_held)}; delete it as you like"
        )
    if inventory.unknown:
        yield Finding(OK, "which stages are needed is not known, for not all records and plans can be read: all stay")
    elif not reasons:
        yield Finding(OK, "nothing that no record and no study needs")


def studies(inventory: Inventory) -> Iterator[Finding]:
    """How far each study is, which trials have failed and why, and whether its records would still apply."""
    for study, plan in inventory.newest.items():
        left = inventory.unfinished.get(study, [])
        failures = {cell.key: said for cell in left if (said := inventory.records.failure(cell.key))}
        found = f"{study}: {len(plan.trial_specs) - len(left)} of {len(plan.trial_specs)} trials done"
        if failures:
            key, first = next(iter(failures.items()))
            log = inventory.storage.path(f"trials/{key}/{FAILURE_LOG}")
            yield Finding(
                WARN,
                f"{found}, {len(failures)} failed, such as: {first.reason} (log: {log})",
                "run the study again once that is mended",
            )
        else:
            yield Finding(OK, found + ("; run it again and it goes on" if left else ""))
        if changed := _changed_code(plan.says.code):
            yield Finding(
                WARN,
                f"{study}: its records were made by {changed}; they stay and can be read, and "
                "a run with the code of now would begin anew",
                "check out the commit that the plan names to go on with them: "
                f"{plan.says.environment.get('commit') or 'it names none'}",
            )


def _changed_code(code: object) -> str:
    """Which code a plan names that is not the locked one, in words; empty if all is."""
    if not isinstance(code, dict) or not code:
        return ""
    known = {name: f"revision {revision}" for name, (revision, _) in locked().items()}
    if known.keys().isdisjoint(code):
        return "an earlier version of musiclab"
    changed = [name for name, identity in code.items() if name in known and identity != known[name]]
    return f"other code of {', '.join(changed)}" if changed else ""


def clock(inventory: Inventory) -> Iterator[Finding]:
    """Whether anything is from the future."""
    now = time.time()
    ahead = {name: info.written - now for name, info in inventory.files.items() if info.written > now + _AHEAD_S}
    ahead |= {
        f"{plan.folder}/plan.json": plan.says.began - now
        for plan in inventory.plans
        if plan.says.began > now + _AHEAD_S
    }
    if ahead:
        name, seconds = max(ahead.items(), key=lambda item: item[1])
        yield Finding(
            WARN,
            f"{len(ahead):,} files are from the future, {inventory.storage.path(name)} by {seconds / 3600:.2g} hours",
            "set the clocks of all machines (timedatectl set-ntp true); no result hangs on them, times shown do",
        )
    else:
        yield Finding(OK, "nothing is from the future")
