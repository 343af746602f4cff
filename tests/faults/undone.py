"""What one undone line of each safeguard makes of the fault suite: `python tests/faults/undone.py FOLDER [WORD]`.

In a copy of the checkout in FOLDER each safeguard (those whose description has WORD) is undone in turn, the tests that
should notice are run, and what their closing table says is printed as a row of a Markdown table. Exit code 1 where
nothing was noticed.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
STEPS = ("faults/test_fault_steps.py", "-m", "slow", "-k", "a_step")
RECORD = ("faults/test_fault_steps.py", "-m", "long", "-k", "each and record.json")
IN_PROCESS = ("faults/test_fault_rounds.py", "-m", "slow", "-k", "in_one_process")
ON_RAY = ("faults/test_fault_rounds.py", "-m", "slow", "-k", "ray_of_this_machine")
ON_THE_WAY = ("tracking/test_mirror_once.py", "-m", "slow and not long", "-k", "states or afresh")
HANDED = ("execution/test_in_process.py", "-m", "slow and not long", "-k", "handed")
MEANWHILE = ("faults/test_fault_studies.py", "-m", "slow and not long", "-k", "meanwhile")
TWICE = ("faults/test_fault_studies.py", "-m", "long", "-k", "refused")
SEARCH_STEPS = ("faults/test_fault_search.py", "-m", "slow and not long", "-k", "at_a_moment")
PROPOSED = ("search/test_run.py", "-k", "kept_before")
RESTARTED = ("search/test_run.py", "-k", "kill_between and not gp")
EARLY = ("search/test_run.py", "-k", "has_not_failed")
DAMAGED = ("faults/test_fault_files.py", "-m", "slow and not long")


@dataclass(frozen=True)
class Safeguard:
    """A safeguard, the lines that undo it as pairs of old and new text in a file, and the tests that should notice."""

    name: str
    file: str
    lines: list[tuple[str, str]]
    tests: tuple[str, ...]

    def undo(self, text: str) -> str:
        """The file's text without it; AssertionError where a line does not stand there once."""
        for old, new in self.lines:
            assert text.count(old) == 1, f"{self.name}: {self.file} has {old!r} {text.count(old)} times"
            text = text.replace(old, new)
        return text


SAFEGUARDS = [
    Safeguard(
        "a record is written last", "musiclab/storage/records.py",
        [("        for name, data in samples.items():\n            self.storage.write(",
          '        self._documents.write(f"trials/{key}/record.json", record)\n'
          "        for name, data in samples.items():\n            self.storage.write(")],
        RECORD,
    ),
    Safeguard(
        "a file is written beside its place and renamed", "musiclab/storage/files.py",
        [('half = folder / f"{HALF}{uuid.uuid4().hex}"\n        try', "half = Path(target)\n        try"),
         ('half.open("xb")', 'half.open("wb")')],
        STEPS,
    ),
    Safeguard(
        "a checkpoint is taken up", "musiclab/training/fit.py",
        [("learner.restore(files.read(CHECKPOINT))", "learner.restore(files.read('none'))")],
        STEPS,
    ),
    Safeguard(
        "a stage is marked as done after its product", "musiclab/execution/trial.py",
        [("            _run_stage(system, stage, run, files_of(stage))\n            files_of(stage).finish()",
          "            files_of(stage).finish()\n            _run_stage(system, stage, run, files_of(stage))")],
        STEPS,
    ),
    Safeguard(
        "MLflow's runs are found by their tags", "musiclab/tracking/mlflow_runs.py",
        [("for run in sorted(self._search(), key", "for run in sorted([], key")],
        IN_PROCESS,
    ),
    Safeguard(
        "what MLflow has says what it lacks", "musiclab/tracking/mlflow_runs.py",
        [("        return [point for point in points if point.name", "        return [] if self.latest else points\n"
          "        return [point for point in points if point.name")],
        ON_THE_WAY,
    ),
    Safeguard(
        "a trial whose worker died is tried again", "musiclab/execution/ledger.py",
        [("if failure.again and", "if False and")],
        ON_RAY,
    ),
    Safeguard(
        "a failure that is tried again is forgotten", "musiclab/execution/ledger.py",
        [("            self.records.forget_failure(trial.key)  # a retry", "            # a retry")],
        EARLY,
    ),
    Safeguard(
        "runs that look as if they ran are closed", "musiclab/tracking/reconcile.py",
        [("            runs.close_running()\n", "            pass\n")],
        ON_THE_WAY,
    ),
    Safeguard(
        "only one runs a study", "musiclab/study/session.py",
        [('f"{design.folder}/runner").take()', 'f"{design.folder}/runner-{id(design)}").take()')],
        TWICE,
    ),
    Safeguard(
        "a record that is there by now is left alone", "musiclab/execution/trial.py",
        [("            if not records.get(trial.key):\n", "            if True:\n")],
        MEANWHILE,
    ),
    Safeguard(
        "who is handed a finished trial does not run it", "musiclab/execution/trial.py",
        [("        if records.get(trial.key):\n", "        if False:\n")],
        HANDED,
    ),
    Safeguard(
        "a proposal is written before its trial runs", "musiclab/search/run.py",
        [("        self.files.put(proposal)\n", "")],
        PROPOSED,
    ),
    Safeguard(
        "a decision is written before it is obeyed", "musiclab/execution/early_stopping.py",
        [("            files.put_decision(rung, decision)  # before it is obeyed\n", "")],
        SEARCH_STEPS,
    ),
    Safeguard(
        "a sampler is told ends in between its proposals, as it was", "musiclab/search/run.py",
        [("while ends and ends[0].order < proposal.told:", "while False:")],
        RESTARTED,
    ),
    Safeguard(
        "a record's checksum is checked", "musiclab/storage/documents.py",
        [("if value.pop(_CHECKSUM) != content_hash(value):", "if not value.pop(_SEAL):")],
        DAMAGED,
    ),
    Safeguard(
        "a stage's checksums are checked", "musiclab/storage/stages.py",
        [("if checksums is not None and checksums.get(name) != _checksum(data):", "if False:")],
        DAMAGED,
    ),
]  # fmt: skip


def noticed(safeguard: Safeguard, copy: Path) -> str:
    """What the tests say with the safeguard undone: rows of the closing table that are not zero, or which failed."""
    file = copy / safeguard.file
    before = file.read_text()
    file.write_text(safeguard.undo(before))
    test, *options = safeguard.tests
    command = [sys.executable, "-m", "pytest", f"tests/{test}", *options, "-p", "no:cacheprovider", "--tb=line"]
    try:
        said = subprocess.run(
            command, cwd=copy, env=os.environ | {"PYTHONPATH": str(copy)}, text=True, capture_output=True
        )
    finally:
        file.write_text(before)
    if said.returncode == 0:
        return ""
    rows = re.findall(r"^([A-Za-z -]+[A-Za-z])\s{2,}([1-9]\d*)$", said.stdout, re.M)
    counted = [
        f"{what} {value}" for what, value in rows if what not in ("studies", "restarts of their command", "seconds")
    ]
    passed = re.search(r"(\d+ (?:failed|error).*) in ", said.stdout)
    return ", ".join([*counted, f"tests: {passed[1] if passed else said.stdout[-300:]}"])


def main(folder: str, word: str = "") -> int:
    """Print the table's rows as they come."""
    copy = Path(folder) / "undone"
    shutil.rmtree(copy, ignore_errors=True)
    for name in ("musiclab", "tests", "studies"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    print("| undone | what the suite says |\n|---|---|", flush=True)
    all_noticed = True
    for safeguard in SAFEGUARDS:
        if word in safeguard.name:
            said = noticed(safeguard, copy)
            all_noticed &= bool(said)
            print(f"| {safeguard.name} | {said or '**nothing**'} |", flush=True)
    return 0 if all_noticed else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
