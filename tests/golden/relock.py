"""`make relock`: write `musiclab/code.lock` anew, after showing that equal revisions mean equal bits.

The golden cases are run by the commit that the lock was last written in and by this checkout, on this machine. Where a
stage has kept its revision, all that both make must be equal to the bit; else its revision has to be raised. Nothing is
written if that is not so. A third run, by plain instructions, tells which numbers do not depend on the processor: only
those are written into the lock, where they guard other machines.
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

from musiclab.code_lock import LOCK, StageCode, closure  # noqa: E402 - they need the path
from musiclab.systems import SYSTEMS, find_system  # noqa: E402
from musiclab.systems.codes import stage_codes  # noqa: E402
from tests.golden.cases import BASE, cases  # noqa: E402

RUNNER = "tests/golden/run.py"
NOT_EXECUTED = Path(__file__).with_name("not_executed.txt")
# What makes the libraries compute by other instructions than they would choose here.
PLAIN = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
AGREEMENT = 2e-6  # between two kinds of instructions, relative: six digits
_NUMBERS_A_CASE = 8

Results = dict[str, dict[str, dict[str, Any]]]


def main() -> int:
    """Compare and write; 1 and no lock if a stage's numbers have changed and its revision has not."""
    codes = stage_codes()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tried = folder / "cases.json"
        tried.write_text(json.dumps(cases()))
        present = _run(ROOT, RUNNER, tried, folder / "present.json", coverage=folder / "coverage")
        plain = _run(ROOT, RUNNER, tried, folder / "plain.json", environment=PLAIN)
        before: Results = {}
        if commit := _locked_commit():
            lock = json.loads(_git("show", f"{commit}:{LOCK.relative_to(ROOT)}"))
            with _checkout(commit, folder / "locked") as checkout:
                before = _run(checkout, lock["runner"], tried, folder / "locked.json")
            revisions = {stage: entry["revision"] for stage, entry in lock["stages"].items()}
            refusals = refused(before, present, revisions, {code.name: code.revision for code in codes})
            print(*refusals, *new_cases(before, present), sep="\n")
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

    A difference needs no revision of its own if an earlier stage of the same trial differs under a raised one, because
    keys of later stages hold those of earlier ones.
    """
    sentences = []
    for stage, before in locked.items():
        if stage not in revisions:
            continue  # a stage that there no longer is
        now, was = revisions[stage], locked_revisions[stage]
        if now < was:
            sentences.append(f"The revision of {stage} must be at least {was}; got {now}.")
        if now != was:
            continue
        changed = [
            case
            for case, result in present[stage].items()
            if case in before and result["bits"] != before[case]["bits"]
            and not _follows_from_a_raised_one(stage, case, locked, present, locked_revisions, revisions)
        ]  # fmt: skip
        if changed:
            sentences.append(
                f"The numbers of {stage} have changed ({'; '.join(changed)}): raise its revision from {was} to "
                f"{was + 1}, or restore the numbers."
            )
    return sentences


def _follows_from_a_raised_one(
    stage: str, case: str, locked: Results, present: Results, locked_revisions: dict[str, int], now: dict[str, int]
) -> bool:
    system = stage.partition("/")[0]
    names = [name for name in present if name.partition("/")[0] == system]
    return any(
        now[name] > locked_revisions.get(name, 0)
        and present[name].get(case, {}).get("bits") != locked.get(name, {}).get(case, {}).get("bits")
        for name in names[: names.index(stage)]
    )


def new_cases(locked: Results, present: Results) -> list[str]:
    """The cases that nothing could be compared with, a line a stage."""
    new = {stage: [case for case in of if case not in locked.get(stage, {})] for stage, of in present.items()}
    return [f"new, so compared with nothing: {stage} ({'; '.join(names)})" for stage, names in new.items() if names]


def lock_of(codes: Iterable[StageCode], present: Results, plain: Results) -> dict[str, Any]:
    """What the lock says: of each stage its revision, its code, and numbers that no processor decides.

    Of a case other than the plain one those alone that differ from it are kept.
    """
    stages = {}
    for code in codes:
        base, numbers = present[code.name].get(BASE, {"bits": "", "numbers": {}}), {}
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
    """Whether two numbers, or two that have no value, are equal up to a relative difference."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= relative * max(abs(one), abs(other))


def _run(
    checkout: Path,
    runner: str,
    tried: Path,
    results: Path,
    environment: dict[str, str] | None = None,
    coverage: Path | None = None,
) -> Results:
    """What a checkout's runner makes of the cases."""
    tool = ["-m", "coverage", "run", f"--data-file={coverage}", f"--source={checkout / 'musiclab'}"] if coverage else []
    variables = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", **(environment or {})}
    print(f"golden runs of {checkout}", file=sys.stderr)
    subprocess.run(
        [sys.executable, *tool, str(checkout / runner), str(tried), str(results)],
        cwd=checkout, env=variables, check=True, stderr=subprocess.PIPE,
    )  # fmt: skip
    return json.loads(results.read_text())


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def _locked_commit() -> str:
    """The commit that the lock was last written in; empty if none has it."""
    return _git("log", "-1", "--format=%H", "--", str(LOCK))


@contextmanager
def _checkout(commit: str, folder: Path) -> Iterator[Path]:
    _git("worktree", "add", "--detach", str(folder), commit)
    try:
        yield folder
    finally:
        _git("worktree", "remove", "--force", str(folder))


def _not_executed(data: Path) -> Iterator[str]:
    """What of the stages' code no golden run executes, a line a function."""
    report = data.with_suffix(".json")
    subprocess.run(
        [sys.executable, "-m", "coverage", "json", "-q", f"--data-file={data}", "-o", str(report)], cwd=ROOT, check=True
    )
    yield "# Code of the locked stages that no golden run executes: a change there is seen, but its numbers are not."
    yield "# Written by `make relock`: module, function, lines not executed of all its lines."
    files = json.loads(report.read_text())["files"]
    modules = {path for name in SYSTEMS for path in closure(type(find_system(name)).__module__).values()}
    modules |= {
        path for name in ("chorales", "lpd5", "midi", "store") for path in closure(f"musiclab.data.{name}").values()
    }
    modules |= set(closure("musiclab.systems.evaluation").values())
    for path in sorted(modules):
        name = path.relative_to(ROOT).as_posix()
        for function, lines in files.get(name, {"functions": {}})["functions"].items():
            if function and (missing := len(lines["missing_lines"])):
                yield f"{name}  {function}  {missing} of {missing + len(lines['executed_lines'])}"


if __name__ == "__main__":
    sys.exit(main())
