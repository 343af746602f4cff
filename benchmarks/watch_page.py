#!/usr/bin/env python
"""How fast are the pages of `musiclab watch`, how large are its updates, and does it keep its memory?

    python benchmarks/watch_page.py [VARIANTS BLOCKS [SECONDS]]

It makes a study of 100 variants on 10 blocks in a temporary storage, as `report_thousand.py` does, holds its lease, and
serves it with `musiclab watch` in a process of its own. It prints how long the first byte and the whole page take, cold
and warm, and how long until all records are read. Then 20 viewers follow the page while 200 trials train and end,
spread over SECONDS (120); it prints the largest and the mean update, the reader's share of a CPU, and the server's
memory over time.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from report_thousand import NAME, RUN, make, record

from musiclab.storage.activity import Activity, WorkerState
from musiclab.storage.files import Storage
from musiclab.storage.leases import Lease
from musiclab.storage.plans import StudyPlan
from musiclab.storage.records import Records

VIEWERS = 20
FOLDER = f"studies/{NAME}/e"
LEFT = 200  # trials that end while somebody looks


@dataclass
class Viewer:
    """An open page: the sizes of the updates that it got."""

    url: str
    sizes: list[int] = field(default_factory=list)

    def follow(self, over: threading.Event) -> None:
        """Read events until it is over."""
        with contextlib.suppress(OSError), urllib.request.urlopen(self.url, timeout=60) as stream:
            while not over.is_set():
                line = stream.readline()
                if line.startswith(b"data:") and b'"parts"' in line:
                    self.sizes.append(len(line))


def main(variants: int, blocks: int, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(folder)
        make(storage, variants, blocks)
        records = Records(storage)
        plan = records.plans.get(FOLDER)
        assert plan
        print(f"{len(plan.trial_specs):,} trials, {variants} variants on {blocks} blocks")
        for spec in plan.trial_specs[-LEFT:]:
            storage.remove_folder(f"trials/{spec.key}")
        records.plans.put(FOLDER, replace(plan, began=time.time()))
        with Lease(storage, f"{FOLDER}/runner").take() as lease, served(folder) as (url, pid):
            open_page(f"{url}studies/{NAME}", "cold")
            wait_until_read(f"{url}studies/{NAME}")
            open_page(f"{url}studies/{NAME}", "warm")
            open_page(url, "index")
            viewed(url, pid, storage, plan, lease.name, seconds)


@contextlib.contextmanager
def served(folder: str) -> Iterator[tuple[str, int]]:
    """`musiclab watch` on a storage: its address and its process."""
    command = [sys.executable, "-m", "musiclab", "watch", folder, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        url = re.search(r"http://\S+", process.stdout.readline())
        assert url
        yield url[0], process.pid
    finally:
        process.terminate()
        process.wait()


def open_page(url: str, called: str) -> None:
    """Print how long a page takes."""
    began = time.perf_counter()
    with urllib.request.urlopen(url) as answer:
        answer.read(1)
        first = time.perf_counter() - began
        size = len(answer.read()) + 1
    whole = time.perf_counter() - began
    print(f"{called:6} first byte {first:5.2f} s, whole page {whole:5.2f} s, {size / 1e3:,.0f} kB", flush=True)


def wait_until_read(url: str) -> None:
    began = time.perf_counter()
    slowest = 0.0
    while True:
        asked = time.perf_counter()
        page = urllib.request.urlopen(url).read().decode()
        slowest = max(slowest, time.perf_counter() - asked)
        if 'class="answer reading"' not in page:
            break
        time.sleep(0.2)
    print(
        f"all read after {time.perf_counter() - began:.1f} s; a page took {slowest:.2f} s at most meanwhile", flush=True
    )


def viewed(url: str, pid: int, storage: Storage, plan: StudyPlan, lease: str, seconds: float) -> None:
    """Let trials end while viewers look on, and print what that takes."""
    page = urllib.request.urlopen(f"{url}studies/{NAME}").read().decode()
    events = re.search(r'data-events="([^"]+)"', page)
    assert events
    address = f"{url.rstrip('/')}{events[1].replace('&amp;', '&')}"
    viewers, over = [Viewer(address) for _ in range(VIEWERS)], threading.Event()
    for viewer in viewers:
        threading.Thread(target=viewer.follow, args=(over,), daemon=True).start()
    records, activity, rng = Records(storage), Activity(storage, FOLDER), np.random.default_rng(1)
    left = list(plan.trial_specs[-LEFT:])
    began, used = time.monotonic(), cpu_seconds(pid)
    pause, next_print = max(0.25, seconds / LEFT / 2), 0.0
    while (passed := time.monotonic() - began) < seconds:
        if passed >= next_print:
            print(f"after {passed:5.0f} s: memory {memory_mib(pid):,.0f} MiB", flush=True)
            next_print += seconds / 6
        if left:
            spec = left.pop()
            activity.put_worker(WorkerState(trial=spec.key, began=time.time(), lease=lease, host="made", pid=1))
            points = [
                {"name": "val/loss", "step": step, "value": 1 / step, "time": time.time()} for step in range(1, 9)
            ]
            storage.write(f"stages/{spec.stages['vae']}/curves.json", json.dumps(points).encode())
            time.sleep(pause)
            cost = replace(RUN, began=time.time() - 60, ended=time.time())
            records.put(spec.key, record(spec, 1.0, rng), cost, {})
        time.sleep(pause)
    over.set()
    share = (cpu_seconds(pid) - used) / (time.monotonic() - began)
    sizes = [size for viewer in viewers for size in viewer.sizes]
    print(
        f"{len(sizes)} updates to {VIEWERS} viewers: {max(sizes) / 1e3:.1f} kB at most, {np.mean(sizes) / 1e3:.1f} kB "
        f"on average; {100 * share:.0f} % of a CPU; memory {memory_mib(pid):,.0f} MiB"
    )


def memory_mib(pid: int) -> float:
    """The process's memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu_seconds(pid: int) -> float:
    """The CPU time that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    numbers = [float(word) for word in sys.argv[1:]]
    main(*(int(number) for number in numbers[:2] or (100, 10)), *(numbers[2:] or [120.0]))
