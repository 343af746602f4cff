"""Checks of what a storage holds: damage, failures, leftovers, and the code and devices behind its records."""

import json
import shlex
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from musiclab.data.store import open_store
from musiclab.errors import UserError
from musiclab.hashing import content_hash
from musiclab.maintenance.doctor.finding import FAIL, OK, WARN, Finding
from musiclab.progress import Progress
from musiclab.storage.ballots import Ballots
from musiclab.storage.documents import NO_CHECKSUM
from musiclab.storage.files import HALF
from musiclab.storage.inventory import Inventory
from musiclab.storage.records import FAILURE_LOG
from musiclab.storage.stages import DONE
from musiclab.training.files import CHECKPOINT
from musiclab.wording import counted, listing, size

_SHOWN = 3  # files that are named if several have the same damage
_AHEAD_S = 60.0  # how far the clocks of two machines may differ


@dataclass(frozen=True)
class _Kind:
    """A kind of file, known by its name: what people call it, how bad damage is, and what to do."""

    begins: str
    ends: str
    called: str
    level: str
    remedy: str
    within: str = ""

    def fits(self, name: str) -> bool:
        """Whether a file of that name is of this kind."""
        return name.startswith(self.begins) and name.endswith(self.ends) and self.within in name


# A file is of the first kind that fits.
_KINDS = (
    _Kind("trials/", "/record.json", "records", FAIL, "run the study again, which makes them anew"),
    _Kind("trials/", "/run.json", "trial costs", WARN, "nothing, because reports do without; or delete the "
          "trial's record.json and run the study again"),
    _Kind("trials/", "/failed.json", "failure notes", WARN, "run the study again"),
    _Kind("trials/", "", "samples", FAIL, "delete record.json of that trial and run its study again"),
    _Kind("stages/", CHECKPOINT, "checkpoints", WARN, "nothing, because training starts afresh there"),
    _Kind("stages/", "", "files of stages", FAIL, "nothing, because a study makes anew what it needs; for `musiclab "
          "generate`, delete record.json of that trial and run its study again"),
    _Kind("scales/", "", "baselines", WARN, "nothing, because the next trial that needs them makes them anew"),
    _Kind("splits/", "", "splits", FAIL, "delete it; the next trial with that split writes it anew"),
    _Kind("studies/", "/plan.json", "plans of listening tests", FAIL, "restore it from a copy, because without it no "
          "answer can be counted", "/listening/"),
    _Kind("studies/", "/session.json", "listening sessions", FAIL, "restore it from a copy, because without it none of "
          "the session's answers can be counted", "/listening/"),
    _Kind("studies/", "/withdrawn.json", "withdrawals", WARN, "nothing, because the session is left out all the same",
          "/listening/"),
    _Kind("studies/", "", "ballots", FAIL, "restore it from a copy, or let the listener answer once more by the link "
          "of the session", "/listening/"),
    _Kind("studies/", "", "plans", FAIL, "run the study again, which writes its plan anew"),
    _Kind("data/", "", "windows", FAIL, "delete this folder; the next run of a study builds it again"),
)  # fmt: skip

_OLDER = "read it with the version that wrote it; this version ignores it, and running the study again starts afresh"


def work(inventory: Inventory) -> Iterator[Finding]:
    """Who is at work in the storage."""
    yield Finding(OK, "; ".join(inventory.at_work) or "nobody runs or mirrors a study there now")


def damage(inventory: Inventory) -> Iterator[Finding]:
    """Files that do not match their checksums; all are read."""
    ballots = _read_all(inventory)
    damaged_files, newer = inventory.records.damage, inventory.records.newer
    for name, error in sorted(newer.items()):
        yield Finding(FAIL, f"{name} {error.reason}", "install a newer musiclab to read it")
    groups: dict[tuple[_Kind, str], list[str]] = {}
    for name, why in sorted(damaged_files.items()):
        kind = next(kind for kind in _KINDS if kind.fits(name))
        groups.setdefault((kind, why), []).append(name)
    for (kind, why), names in groups.items():
        shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN:,} more" if names[_SHOWN:] else "")
        yield Finding(
            kind.level, f"damaged {kind.called}: {shown}: {why}", _OLDER if why == NO_CHECKSUM else kind.remedy
        )
    if not damaged_files and not newer:
        done = sum(DONE in files for files in inventory.stages.values())
        contents = [
            counted(len(inventory.plans), "plan"),
            f"{counted(len(inventory.finished), 'record')} with samples",
            *([counted(ballots, "ballot")] if ballots else []),
            counted(done, "finished stage"),
        ]
        yield Finding(OK, f"{listing(contents)} match their checksums")


def _read_all(inventory: Inventory) -> int:
    """Note in the records' `damage` every file that does not match its checksum; how many ballots were read."""
    records, storage = inventory.records, inventory.storage
    others = [name for name in inventory.files if name.startswith(("scales/", "splits/")) and HALF not in name]
    stores = inventory.stores if storage.is_local else []  # those of a remote storage would be copied to this machine
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
                unreadable = CHECKPOINT in files and records.stages.epochs_kept(key) is None
                if unreadable and storage.exists(name):  # a stage that has just finished removes its checkpoint
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
    return sum(_read_ballots(inventory, ballots) for ballots in inventory.listening)


def _read_ballots(inventory: Inventory, ballots: Ballots) -> int:
    """Read a listening test's plan, sessions and ballots; how many ballots there are that can be counted."""
    sessions = ballots.sessions()
    inventory.records.damage.update(ballots.damage)
    inventory.records.newer.update(ballots.newer)
    return sum(len(session.ballots) for session in sessions)


def _read_trial(inventory: Inventory, key: str) -> None:
    """Read a finished trial's samples and its cost."""
    records = inventory.records
    record = records.get(key)
    if record is None or record.key != key:
        records.damage[f"trials/{key}/record.json"] = "it is another trial's"
    cost = records.run(key)
    names = inventory.storage.names(f"trials/{key}/samples")
    checksums = (record.samples if record else {}) | (cost.checksums if cost else {})
    for name, checksum in checksums.items():
        sample = f"trials/{key}/samples/{name}"
        if name not in names:
            records.damage[sample] = "it is missing"
        elif content_hash(inventory.storage.read(sample).hex()) != checksum:
            records.damage[sample] = "it is not what was written"


def _read_other(inventory: Inventory, name: str) -> None:
    """Read baselines, or a split, whose name is the hash of what it says."""
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
    """Leftovers of killed runs and of changed studies, which `clean` removes."""
    if inventory.at_work:
        yield Finding(OK, "not checked while somebody is at work there")
        return
    reasons, sizes = Counter[str](), Counter[str]()
    for leftover in inventory.leftovers:
        reasons[leftover.why] += 1
        sizes[leftover.why] += leftover.size
    for why, times in reasons.items():
        yield Finding(
            WARN,
            f"{why}: {times:,}, {size(sizes[why])}",
            f"musiclab clean {shlex.quote(place)} lists them; with --remove it removes them",
        )
    for name, n_bytes in inventory.unnamed_windows.items():
        path = inventory.storage.path(name)
        yield Finding(OK, f"windows that no plan names: {path}, {size(n_bytes)}; delete it if you do not need it")
    if inventory.unknown:
        yield Finding(
            OK,
            "all stages are kept, because some records or plans cannot be read and may need them",
        )
    elif not reasons:
        yield Finding(OK, "there are none")


def studies(inventory: Inventory) -> Iterator[Finding]:
    """How far each study is, which trials have failed and why, and whether its records can still be reused."""
    for study, plan in inventory.newest.items():
        missing = inventory.unfinished.get(study, [])
        failures = {trial.key: failure for trial in missing if (failure := inventory.records.failure(trial.key))}
        progress = f"{study}: {len(plan.trial_specs) - len(missing)} of {len(plan.trial_specs)} trials done"
        if failures:
            key, first = next(iter(failures.items()))
            log = inventory.storage.path(f"trials/{key}/{FAILURE_LOG}")
            yield Finding(
                WARN,
                f"{progress}, {len(failures)} failed, such as: {first.reason} (log: {log})",
                "correct the cause and run the study again",
            )
        else:
            yield Finding(OK, progress + ("; run it again to continue" if missing else ""))
        if changed := inventory.other_code(plan):
            yield Finding(
                WARN,
                f"{study}: its records were made by {changed}; they are kept and can be read, but a run with the "
                "present code starts afresh",
                "to continue them, check out the commit that the plan names: "
                f"{plan.says.environment.get('commit') or 'it names none'}",
            )
        yield from _runtimes(inventory, study)


def _runtimes(inventory: Inventory, study: str) -> Iterator[Finding]:
    """Whether the records of a study, all editions together, come from more than one version of torch or device.

    Records of the version before this one do not tell which.
    """
    trials = {
        trial.key: trial.runtime
        for plan in inventory.plans
        for trial in plan.trial_specs
        if plan.study == study and trial.runtime and trial.key in inventory.finished
    }
    records = Counter(trials.values())
    if len(records) > 1:
        runtimes = [
            f"{counted(number, 'record')} of torch {runtime.torch} on {runtime.device}"
            for runtime, number in records.items()
        ]
        yield Finding(
            WARN,
            f"{study}: it has {listing(runtimes)}; numbers of different versions or devices are not comparable",
            "compare within one edition only, or run the whole study with one version on one kind of device",
        )


def clock(inventory: Inventory) -> Iterator[Finding]:
    """Whether any file or plan has a time in the future."""
    now = time.time()
    ahead = {name: info.written - now for name, info in inventory.files.items() if info.written > now + _AHEAD_S}
    ahead |= {
        f"{plan.folder}/plan.json": plan.says.began - now
        for plan in inventory.plans
        if plan.says.began > now + _AHEAD_S
    }
    if ahead:
        name, seconds = max(ahead.items(), key=lambda item: item[1])
        times = f"{counted(len(ahead), 'file')} with a time in the future"
        yield Finding(
            WARN,
            f"{times}, {inventory.storage.path(name)} by {seconds / 3600:.2g} hours",
            "set the clocks of all machines (timedatectl set-ntp true); results do not depend on them, shown times do",
        )
    else:
        yield Finding(OK, "no time is in the future")
