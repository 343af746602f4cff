"""An inventory of a storage: which files it holds, which of them something still needs, and who is using it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from musiclab.code_lock import locked, other_code
from musiclab.data.abandoned import abandoned
from musiclab.design.trials import TrialSpec
from musiclab.progress import Progress
from musiclab.storage.ballots import Ballots
from musiclab.storage.files import HALF, PROBE, FileInfo, Storage
from musiclab.storage.leases import CLEANING, lease_holders
from musiclab.storage.plans import StudyPlan
from musiclab.storage.records import Records
from musiclab.storage.search_documents import SearchFiles
from musiclab.storage.stages import DONE
from musiclab.training.files import CHECKPOINT

# The folders of a storage. Everything else beside them, such as MLflow's database, is not musiclab's.
FOLDERS = ("trials", "stages", "scales", "splits", "studies", "data", CLEANING)


@dataclass(frozen=True)
class Plan:
    """A plan that can be read: its study, its folder, its document (`says`) and its trials."""

    study: str
    folder: str
    says: StudyPlan
    trial_specs: tuple[TrialSpec, ...]


@dataclass(frozen=True)
class Finished:
    """A finished trial: its stages' keys, by stage, and its data's fingerprint."""

    stages: dict[str, str]
    data: str


@dataclass(frozen=True)
class Leftover:
    """A file or folder that nothing needs: its name (a folder's ends with a slash), its bytes, and why it is there."""

    name: str
    size: int
    why: str


class Inventory:
    """What a storage holds, read once.

    Attributes:
        records: the storage's records; their `damage` has what cannot be read.
        files: all files except MLflow's, by name.
        plans: the plans that can be read.
        finished: the trials whose records can be read, by key.
        at_work: a line for each process that runs or mirrors a study now.
    """

    def __init__(self, storage: Storage, code: Mapping[str, str] | None = None) -> None:
        """`code` has the identity of each stage's code in this checkout; by default what the lock holds."""
        self._code = code or {name: f"revision {revision}" for name, (revision, _) in locked().items()}
        self.storage, self.records = storage, Records(storage, notes_newer=True)
        self._leases = _leases(storage)  # first: if a process has ended by now, all that it wrote is read below
        self.at_work = [f"{who} is {activity}" for activity, who, alive in self._leases.values() if alive]
        self.files: dict[str, FileInfo] = {}
        for folder in FOLDERS:
            self.files |= dict(sorted(storage.files(folder).items()))
        folders = [name.rpartition("/")[0] for name in self.files if _is_like(name, "studies/*/*/plan.json")]
        self.plans = [plan for folder in folders if (plan := self._plan(folder))]
        keys = [name.split("/")[1] for name in self.files if _is_like(name, "trials/*/record.json")]
        self.finished: dict[str, Finished] = {}
        with Progress("records read", len(keys)) as progress:
            for key in keys:
                if finished := self._finished(key):
                    self.finished[key] = finished
                progress.update()

    def _plan(self, folder: str) -> Plan | None:
        says = self.records.plans.get(folder)
        return Plan(folder.split("/")[1], folder, says, says.trial_specs) if says else None

    def _finished(self, key: str) -> Finished | None:
        record = self.records.get(key)
        return Finished(record.stages, record.data.fingerprint) if record else None

    @cached_property
    def newest(self) -> dict[str, Plan]:
        """Each study's newest plan."""
        return {plan.study: plan for plan in sorted(self.plans, key=lambda plan: plan.says.began)}

    @cached_property
    def unfinished(self) -> dict[str, list[TrialSpec]]:
        """By study: the trials of its newest plan that have no record."""
        unfinished = {
            study: [trial for trial in plan.trial_specs if trial.key not in self.finished]
            for study, plan in self.newest.items()
        }
        return {study: trials for study, trials in unfinished.items() if trials}

    @cached_property
    def wanted(self) -> set[str]:
        """Keys of the stages of unfinished trials of the newest plans: a run would resume or reuse them."""
        stages = [trial.stages for trials in self.unfinished.values() for trial in trials]
        stages += [proposal.stages for files in self._searches for proposal in files.open_proposals()]
        return {key for of_trial in stages for key in of_trial.values()}

    @cached_property
    def _searches(self) -> list[SearchFiles]:
        """The searches among the newest plans."""
        folders = [plan.folder for plan in self.newest.values() if plan.says.is_search]
        return [SearchFiles(self.storage, folder, notes_newer=True) for folder in folders]

    @cached_property
    def unknown(self) -> list[str]:
        """Damaged or newer plans and records; they may need any stage, because nothing tells which."""
        planned = {f"trials/{trial.key}/record.json" for plan in self.plans for trial in plan.trial_specs}
        return [
            name
            for name in self._unread
            if _is_like(name, "studies/*/*/plan.json")
            or (_is_like(name, "trials/*/record.json") and name not in planned)
        ]

    @cached_property
    def listening(self) -> list[Ballots]:
        """The listening tests of all studies; a damaged plan counts too. None of their files is ever a leftover."""
        parts = [name.split("/") for name in self.files]
        folders = dict.fromkeys("/".join(part[:5]) for part in parts if part[3:4] == ["listening"] and len(part) > 5)
        return [Ballots(self.storage, folder, notes_newer=True) for folder in folders]

    @property
    def _unread(self) -> list[str]:
        """Names of damaged documents and of those in a newer format."""
        return [*self.records.damage, *self.records.newer]

    @cached_property
    def _needed(self) -> set[str]:
        """Keys of the stages that must stay: wanted ones and those of all records (damaged ones if in a plan)."""
        damaged = {name.split("/")[1] for name in self._unread if _is_like(name, "trials/*/record.json")}
        trials = [trial for plan in self.plans for trial in plan.trial_specs if trial.key in damaged]
        of_trials = [finished.stages for finished in self.finished.values()] + [trial.stages for trial in trials]
        return self.wanted | {key for stages in of_trials for key in stages.values()}

    @cached_property
    def stages(self) -> dict[str, dict[str, FileInfo]]:
        """By a stage's key: its files, by their own names."""
        files_by_key: dict[str, dict[str, FileInfo]] = {}
        for name, info in self.files.items():
            if _is_like(name, "stages/*/*") and HALF not in name:
                files_by_key.setdefault(name.split("/")[1], {})[name.split("/")[2]] = info
        return files_by_key

    @cached_property
    def leftovers(self) -> list[Leftover]:
        """What may be removed if nobody is at work: no record and no unfinished trial needs it."""
        return [
            *self._cut_off_files(),
            *self._dead_leases(),
            *([] if self.unknown else self._unneeded_stages()),
            *self._served_checkpoints(),
            *self._abandoned_builds(),
        ]

    def _cut_off_files(self) -> list[Leftover]:
        names = [name for name in self.files if name.rpartition("/")[2].startswith(HALF)]
        probes = [name for name in self.storage.names("") if name.startswith(PROBE)]
        why = "a write that was cut off"
        return [Leftover(name, self.files[name].size, why) for name in names] + [
            Leftover(name, 0, why) for name in probes
        ]

    def _dead_leases(self) -> list[Leftover]:
        return [
            Leftover(name, self.files[name].size, "the lease of a process that is dead")
            for name, (_, _, alive) in self._leases.items()
            if not alive and name in self.files
        ]

    def _unneeded_stages(self) -> list[Leftover]:
        return [
            Leftover(f"stages/{key}/", sum(info.size for info in files.values()), self._why_unneeded(key))
            for key, files in self.stages.items()
            if key not in self._needed and not self._is_newer(key)
        ]

    def _why_unneeded(self, key: str) -> str:
        if DONE not in self.stages[key]:
            return "an unfinished stage that no study would resume"
        origin = self._old_code.get(key)
        return "a finished stage of no record" + (f", made by {origin}" if origin else "")

    def _is_newer(self, key: str) -> bool:
        """Whether a newer version finished the stage, so that this one must not remove it."""
        if DONE in self.stages[key]:
            self.records.stages.checksums(key)
        return f"stages/{key}/{DONE}" in self.records.newer

    def other_code(self, plan: Plan) -> str:
        """The code that made the plan's records, in words, if it is not the present one; else empty."""
        changed = other_code(plan.says.code, self._code)
        if changed is None:
            return "an earlier version of musiclab"
        return f"other code of {', '.join(changed)}" if changed else ""

    @cached_property
    def stages_of_old_code(self) -> dict[str, list[Leftover]]:
        """Stages that something needs although their code has changed since, by the code that made them.

        A stage whose plan is gone is not among them, because nothing tells which code made it.
        """
        kept: dict[str, list[Leftover]] = {}
        for key, origin in self._old_code.items():
            if key in self.stages and (self.unknown or key in self._needed):
                size = sum(info.size for info in self.stages[key].values())
                kept.setdefault(origin, []).append(Leftover(f"stages/{key}/", size, origin))
        return kept

    @cached_property
    def _old_code(self) -> dict[str, str]:
        """By a stage's key: the code that made it, in words, if it or a stage before it has other code now."""
        origins: dict[str, str] = {}
        for plan in self.plans:
            origin_by_name = _origins(plan.says.code, self._code)
            for trial in plan.trial_specs:
                # The code that cuts windows comes before all stages; the plan names that of its own data only.
                names = [name for name in plan.says.code if name.startswith("data/")]
                for stage, key in trial.stages.items():
                    names.append(f"{trial.variant.system}/{stage}")
                    old = [origin_by_name[name] for name in ("", *names) if name in origin_by_name]
                    if old:
                        origins.setdefault(key, old[0])
        return origins

    def _served_checkpoints(self) -> list[Leftover]:
        """Checkpoints of finished stages: a process was killed after it wrote `done` and before it removed them."""
        return [
            Leftover(f"stages/{key}/{CHECKPOINT}", files[CHECKPOINT].size, "the checkpoint of a finished stage")
            for key, files in self.stages.items()
            if (self.unknown or key in self._needed) and CHECKPOINT in files and self.records.stages.checksums(key)
        ]

    def _abandoned_builds(self) -> list[Leftover]:
        """Parts and half stores that builds of windows left when they were cut off."""
        if not self.storage.is_local:
            return []  # windows are built on a local disk and uploaded when they are whole
        return [
            Leftover(f"data/{name}/", self._size(f"data/{name}/"), why)
            for name, why in abandoned(self.storage.local("data")).items()
        ]

    @cached_property
    def stores(self) -> list[str]:
        """The fingerprints of the window stores that are whole."""
        return sorted(name.split("/")[1] for name in self.files if _is_like(name, "data/*/songs.json"))

    @cached_property
    def unnamed_windows(self) -> dict[str, int]:
        """Bytes of the window stores that no plan and no record names, by folder; empty if there are unknown files."""
        named = {trial.variant.data for plan in self.plans for trial in plan.trial_specs}
        named |= {finished.data for finished in self.finished.values()}
        if self.unknown:
            return {}
        return {f"data/{name}": self._size(f"data/{name}/") for name in self.stores if name not in named}

    def _size(self, folder: str) -> int:
        """Bytes of the files in a folder, whose name ends with a slash."""
        return sum(info.size for file, info in self.files.items() if file.startswith(folder))


def _origins(made_by: dict[str, str], present: Mapping[str, str]) -> dict[str, str]:
    """By a stage's name, the code that made it, in words, if a plan names other code of it than the present one.

    If the plan is from a version that did not know revisions, this is under the empty name, for all stages.
    """
    changed = other_code(made_by, present)
    if changed is None:
        return {"": "an earlier version of musiclab"}
    return {
        name: f"{made_by[name]} of {name}, now {present[name].removeprefix('revision ')}"
        if made_by[name].startswith("revision ")
        else f"other code of {name} than {present[name]}"
        for name in changed
    }


def _leases(storage: Storage) -> dict[str, tuple[str, str, bool]]:
    """By lease file: what the lease is for, who holds it (both in words), and whether that process is alive."""
    kinds = {"runner": "running", "mirror": "mirroring"}
    folders = dict.fromkeys(
        name.rpartition("/")[0]
        for name in storage.files("studies")
        if any(_is_like(name, f"studies/*/*/{kind}/*") for kind in kinds)
    )
    return {
        name: (f"{kinds[folder.split('/')[3]]} {folder.split('/')[1]}", *holder)
        for folder in folders
        for name, holder in lease_holders(storage, folder).items()
    }


def _is_like(name: str, pattern: str) -> bool:
    """Whether the path matches the pattern part by part; a part `*` matches any part."""
    names, patterns = name.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(
        wanted in ("*", part) for part, wanted in zip(names, patterns, strict=True)
    )
