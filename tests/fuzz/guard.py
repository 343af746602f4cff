"""A process that runs parsers on hostile inputs, and notices from outside what no parser may do.

`python guard_child.py` is that process. It gets the name of a parser and a seed, makes the input, parses it and answers
with what came of it. A crash ends it and a hang is ended; both are put down to the input at work, and another process
goes on with the next one.
"""

import json
import os
import select
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.waiting import STILL_S

TESTS = Path(__file__).parents[1]
SECONDS = 5.0
_LOOK_SECONDS = 0.1
MEMORY = 1 << 30  # beyond what the process has before the input comes


@dataclass(frozen=True)
class Finding:
    """What a parser did that none may do; the parser's name and the seed make its input again."""

    parser: str
    seed: int
    what: str

    def __str__(self) -> str:
        return f"{self.parser}, seed {self.seed}: {self.what}"


@dataclass
class Counts:
    """What became of a parser's inputs: how many it took, how many it refused in a sentence, and what else it did."""

    accepted: int = 0
    refused: int = 0
    findings: list[Finding] = field(default_factory=list)
    slowest: float = 0.0

    @property
    def inputs(self) -> int:
        return self.accepted + self.refused + len(self.findings)

    def kinds(self) -> str:
        """The findings by what happened, with a seed of each, for a person."""
        kinds = Counter(finding.what for finding in self.findings)
        seeds = {finding.what: finding.seed for finding in self.findings}
        return "\n".join(f"{count} times (such as seed {seeds[what]}): {what}" for what, count in kinds.most_common())


class Guard(AbstractContextManager):
    """Parsers' process, started when it is first needed; `box` is a folder for it, of which only `inside` is its own.

    `modules` name where the parsers are: each has a dictionary PARSERS. An input hangs a parser if the parser computes
    for `seconds`, or sleeps for as long. Time in which it waits for a processor or a disk does not count.
    """

    def __init__(self, box: Path, modules: tuple[str, ...] = ("tests.fuzz.parsers",), seconds: float = SECONDS) -> None:
        self._box, self._modules, self._seconds = box, modules, seconds
        self._process: subprocess.Popen | None = None
        self._parsers: list[str] = []
        self.started = 0

    def parsers(self) -> list[str]:
        """The names of all parsers there are."""
        self._running()
        return self._parsers

    def feed(self, parser: str, inputs: int, seed: int = 1) -> Counts:
        """Give a parser the inputs of so many seeds from `seed` on."""
        counts = Counts()
        for number in range(seed, seed + inputs):
            answer = self.one(parser, number)
            counts.slowest = max(counts.slowest, answer.get("seconds", 0.0))
            if answer["outcome"] == "accepted":
                counts.accepted += 1
            elif answer["outcome"] == "refused":
                counts.refused += 1
            else:
                counts.findings.append(Finding(parser, number, answer["outcome"]))
        return counts

    def one(self, parser: str, seed: int) -> dict:
        """What came of the input of a seed, 0 for a good one: `outcome`, and `seconds` where it came to an end."""
        process = self._running()
        process.stdin.write(f"{parser} {seed}\n".encode())
        process.stdin.flush()
        if not _answers(process, self._seconds):
            self._end()
            return {"outcome": f"took more than {self._seconds:g} s"}
        line = process.stdout.readline()
        if not line:
            code = process.wait()
            self._end()
            return {"outcome": f"ended its process with {code}"}
        return json.loads(line)

    def __exit__(self, *_: object) -> None:
        self._end()

    def _running(self) -> subprocess.Popen:
        if self._process is None:
            shutil.rmtree(self._box, ignore_errors=True)
            (self._box / "inside").mkdir(parents=True)
            environment = os.environ | {
                "PYTHONPATH": str(TESTS.parent),
                "TMPDIR": str(self._box / "inside"),
                "OMP_NUM_THREADS": "1",
                "PYTHONDONTWRITEBYTECODE": "1",  # else a module that a parser imports would be written elsewhere
            }
            self._process = subprocess.Popen(
                [sys.executable, TESTS / "fuzz" / "guard_child.py", self._box, str(MEMORY), *self._modules],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=self._box / "inside", env=environment,
            )  # fmt: skip
            self.started += 1
            if not _answers(self._process, STILL_S) or not (line := self._process.stdout.readline()):
                self._end()
                raise RuntimeError("the guarded process does not start")
            self._parsers = json.loads(line)
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _answers(process: subprocess.Popen, seconds: float) -> bool:
    """Whether it answers before it has computed for `seconds` or slept for as long."""
    first = last = _cpu_seconds(process.pid)
    slept = 0.0
    while slept < seconds and last - first < seconds:
        if select.select([process.stdout], [], [], _LOOK_SECONDS)[0]:
            return True
        now = _cpu_seconds(process.pid)
        slept = slept + _LOOK_SECONDS if now == last and _sleeps(process.pid) else 0.0
        last = now
    return False


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _sleeps(pid: int) -> bool:
    """Whether each of its threads waits for something else than a processor or a disk."""
    stats = [_text(file) for file in Path(f"/proc/{pid}/task").glob("*/stat")]
    return not any(stat.rpartition(")")[2].split()[:1] in (["R"], ["D"]) for stat in stats)


def _text(file: Path) -> str:
    """The file's text; empty if its thread has ended."""
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
