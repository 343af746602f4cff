"""`make relock`: write `musiclab/code.lock` anew, after a proof that equal revisions mean equal bits.

The golden cases are run twice on this machine: by the commit that last wrote the lock, and by this checkout. If a stage
has kept its revision, both results must be equal to the bit; otherwise nothing is written, and the revision must be
raised. A third run uses plain processor instructions. It shows which numbers do not depend on the processor, and only
these are written into the lock, for comparisons on other machines.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from musiclab.code_lock import LOCK, StageCode, closure  # noqa: E402 - these imports need the path
from musiclab.data.sources import HOUSE  # noqa: E402
from musiclab.interfaces import INTERFACES  # noqa: E402
from musiclab.systems import SYSTEMS, find_system  # noqa: E402
from musiclab.systems.codes import stage_codes  # noqa: E402
from tests.golden.cases import BASE, cases  # noqa: E402

RUNNER = "tests/golden/run.py"
NOT_EXECUTED = Path(__file__).with_name("not_executed.txt")
# Makes the libraries use other processor instructions than they would choose here.
PLAIN = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
AGREEMENT = 2e-6  # relative difference between two kinds of instructions: six digits are equal
_NUMBERS_A_CASE = 8

Results = dict[str, dict[str, dict[str, Any]]]


def main() -> int:
    """Compare and write; the exit code. It is 1, and nothing is written, if bits changed under an equal revision."""
    codes = stage_codes()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases_file = folder / "cases.json"
        cases_file.write_text(json.dumps(cases()))
        present = _run(ROOT, RUNNER, cases_file, folder / "present.json", coverage=folder / "coverage")
        plain = _run(ROOT, RUNNER, cases_file, folder / "plain.json", environment=PLAIN)
        before: Results = {}
        if commit := _locked_commit():
            lock = json.loads(_git("show", f"{commit}:{LOCK.relative_to(ROOT)}"))
            with _checkout(commit, folder / "locked") as checkout:
                before = _run(checkout, lock["runner"], cases_file, folder / "locked.json")
            revisions = {stage: entry["revision"] for stage, entry in lock["stages"].items()}
            refusals = refused(before, present, revisions, {code.name: code.revision for code in codes})
            for line in [*refusals, *new_cases(before, present)]:
                print(line)
            if refusals:
                return 1
        LOCK.write_text(json.dumps(lock_of(codes, present, plain), indent=1, sort_keys=True) + "\n")
        NOT_EXECUTED.write_text("\n".join(_not_executed(folder / "coverage")) + "\n")
    print(f"{LOCK.relative_to(ROOT)} and {NOT_EXECUTED.relative_to(ROOT)} are written; commit them with the code.")
    return 0


def refused(
    locked: Results, present: Results, locked_revisions: dict[str, int], revisions: dict[str, int]
) -> list[str]:
    """A sentence for every stage whose bits differ from the locked ones although its revision is the same.

    If an earlier stage of the same trial differs and its revision was raised, a later stage may differ under an equal
    revision, because its keys contain those of earlier stages.
    """
    sentences = []
    for stage in locked_revisions:
        if stage not in revisions:
            continue  # the stage no longer exists
        before = locked.get(stage, {})
        now, was = revisions[stage], locked_revisions[stage]
        if now < was:
            sentences.append(f"The revision of {stage} must be at least {was}; got {now}.")
        if now != was:
            continue
        changed = [
            case
            for case, result in present[stage].items()
            if case in before and result["bits"] != before[case]["bits"]
            and not _follows_from_raised_stage(stage, case, locked, present, locked_revisions, revisions)
        ]  # fmt: skip
        if before.keys().isdisjoint(present[stage]):
            sentences.append(f"No case of {stage} can be compared: raise its revision from {was} to {was + 1}.")
        if changed:
            sentences.append(
                f"The numbers of {stage} have changed ({'; '.join(changed)}): raise its revision from {was} to "
                f"{was + 1}, or restore the numbers."
            )
    return sentences


def _follows_from_raised_stage(
    stage: str, case: str, locked: Results, present: Results, locked_revisions: dict[str, int], now: dict[str, int]
) -> bool:
    """Whether an earlier stage of the same trial differs, too, and has a raised revision."""
    system = stage.partition("/")[0]
    names = [name for name in present if name.partition("/")[0] == system]
    return any(
        now[name] > locked_revisions.get(name, 0)
        and present[name].get(case, {}).get("bits") != locked.get(name, {}).get(case, {}).get("bits")
        for name in names[: names.index(stage)]
    )


def new_cases(locked: Results, present: Results) -> list[str]:
    """A line for every stage with cases that the locked commit does not have, so that nothing was compared."""
    new = {stage: [case for case in results if case not in locked.get(stage, {})] for stage, results in present.items()}
    return [f"new, so compared with nothing: {stage} ({'; '.join(names)})" for stage, names in new.items() if names]


def lock_of(codes: Iterable[StageCode], present: Results, plain: Results) -> dict[str, Any]:
    """The content of the lock: each stage's revision, the hash of its code, and numbers that no processor decides.

    A case other than the base case has only the numbers that differ from those of the base case.
    """
    stages: dict[str, dict[str, Any]] = {}
    for code in codes:
        base = present[code.name].get(BASE, {"bits": "", "numbers": {}})
        numbers: dict[str, dict[str, float | None]] = {}
        for case, result in present[code.name].items():
            if case != BASE and result["bits"] == base["bits"]:
                continue
            others = plain[code.name][case]["numbers"]
            kept = {
                name: value
                for name, value in result["numbers"].items()
                if close(value, others.get(name), AGREEMENT) and (case == BASE or value != base["numbers"].get(name))
            }
            numbers[case] = kept if case == BASE else dict(list(kept.items())[:_NUMBERS_A_CASE])
        stages[code.name] = {"revision": code.revision, "code": code.hash, "numbers": numbers}
    return {"format": 1, "runner": RUNNER, "stages": stages}


def close(one: float | None, other: float | None, relative: float) -> bool:
    """Whether two numbers are equal up to a relative difference, or both are missing."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= relative * max(abs(one), abs(other))


def _run(
    checkout: Path,
    runner: str,
    cases_file: Path,
    results: Path,
    environment: dict[str, str] | None = None,
    coverage: Path | None = None,
) -> Results:
    """The results of the cases, as the runner of a checkout computes them."""
    tool = ["-m", "coverage", "run", f"--data-file={coverage}", f"--source={checkout / 'musiclab'}"] if coverage else []
    variables = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", **(environment or {})}
    print(f"golden runs of {checkout}", file=sys.stderr)
    done = subprocess.run(
        [sys.executable, *tool, str(checkout / runner), str(cases_file), str(results)],
        cwd=checkout, env=variables, check=False, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the golden runs of {checkout} failed:\n{done.stderr}")
    loaded: Results = json.loads(results.read_text())
    return loaded


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def _locked_commit() -> str:
    """The commit that last wrote the lock; empty if there is none."""
    return _git("log", "-1", "--format=%H", "--", str(LOCK))


@contextmanager
def _checkout(commit: str, folder: Path) -> Iterator[Path]:
    """A worktree of a commit, which is removed at the end."""
    _git("worktree", "add", "--detach", str(folder), commit)
    try:
        yield folder
    finally:
        _git("worktree", "remove", "--force", str(folder))


def _not_executed(data: Path) -> Iterator[str]:
    """The code of stages that no golden run executes, a line a function."""
    report = data.with_suffix(".json")
    subprocess.run(
        [sys.executable, "-m", "coverage", "json", "-q", f"--data-file={data}", "-o", str(report)], cwd=ROOT, check=True
    )
    yield "# Code of the locked stages that no golden run executes: a change there is seen, but its numbers are not."
    yield "# Written by `make relock`: module, function, lines not executed of all its lines."
    files = json.loads(report.read_text())["files"]
    modules = {path for name in SYSTEMS for path in closure(type(find_system(name)).__module__).values()}
    modules |= {path for kind in HOUSE.values() for path in closure(kind.__module__).values()}
    modules |= set(closure("musiclab.data.store").values())
    modules |= set(closure("musiclab.systems.evaluation").values())
    modules |= {path for each in INTERFACES for module in each.modules for path in closure(module).values()}
    for path in sorted(modules):
        name = path.relative_to(ROOT).as_posix()
        for function, lines in files.get(name, {"functions": {}})["functions"].items():
            if function and (missing := len(lines["missing_lines"])):
                yield f"{name}  {function}  {missing} of {missing + len(lines['executed_lines'])}"


if __name__ == "__main__":
    sys.exit(main())
