"""A search dies at any moment and is run again.

In one process it proposes, decides and confirms as if undisturbed. On Ray, where driver and workers are killed, nothing
is lost or doubled, and each proposal is the one that follows from what the sampler had been told.
"""

import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from musiclab.storage.files import Storage
from musiclab.storage.search_documents import SearchFiles
from tests.faults.forks import KILLED, Nursery
from tests.faults.judging import STUDY, Truth, Watch, records_in
from tests.faults.rounds import Round
from tests.faults.search_judging import Ended, faults_of_search, search_faults
from tests.faults.tally import TALLY, seeds
from tests.support.study_processes import PAUSING

_FILE = f"""
from musiclab import Float, Int, Search, Study

if __name__ == "__main__":
    Study(
        name={STUDY!r}, system="vae_nn", objective="frechet", blocks=1,
        space=Search(
            {{"latent_dim": Int(2, 4), "vae_lr": Float(1e-5, 1e-2, log=True), "noise_sd": Float(0, 1)}},
            scheduler="asha", budget=12, confirm=2,
        ),
    ).main()
"""
# What two runs of one search never have in common.
_OF_THE_RUN = {"time", "seconds", "sha256"}
_MANY = 50
_ROUNDS = 13  # of four moments each


@pytest.fixture(scope="module")
def searching(song_folder: Path, tiny: list[str], truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """A search with trials that end early; its records are filled in by what the nursery's first run finishes."""
    folder = tmp_path_factory.mktemp("search")
    file = folder / "killed.py"
    file.write_text(PAUSING + _FILE)
    shutil.copy(truth.empty, folder / "empty.db")
    fields = {"vae_lr", "latent_dim", "noise_sd"}
    fixed = [part for name, part in zip(tiny[::2], tiny[1::2], strict=True) if part.partition("=")[0] not in fields
             for part in (name, part)]  # fmt: skip
    options = ["--data", f"midi:{song_folder}", *fixed, "--set", "vae_epochs=9"]
    return Truth(file, options, truth.storage, {}, {})


@pytest.fixture(scope="module")
def searches(
    searching: Truth, tmp_path_factory: pytest.TempPathFactory, once: Callable[..., Path]
) -> Iterator[Nursery]:
    made = Nursery("searched", searching, tmp_path_factory.mktemp("searches"), once)
    yield made
    made.end()


def decided(storage: Path) -> dict[str, dict[str, Any]]:
    """All that a search has written of its course, by file."""
    return {
        str(file.relative_to(next(storage.glob("studies/*/*")))): {
            name: value for name, value in json.loads(file.read_text()).items() if name not in _OF_THE_RUN
        }
        for pattern in ("search/proposals/*.json", "search/ends/*.json", "search/rungs/*/*.json", "confirmation.json")
        for file in storage.glob(f"studies/*/*/{pattern}")
    }


@pytest.mark.slow
def test_the_undisturbed_search_has_all_that_can_be_lost(searches: Nursery) -> None:
    written = decided(searches.finished)
    states = Counter(end["state"] for name, end in written.items() if "/ends/" in name)
    assert states["finished"] >= 2 and states["pruned"] >= 1 and states.total() == 12
    assert any("/rungs/1/" in name for name in written) and "confirmation.json" in written
    assert len(records_in(searches.finished)) == states["finished"] + 3  # the control and two confirmed


def _damages(search: Ended, files: SearchFiles) -> dict[str, Callable[[], None]]:
    """What makes each count of a search's files other than 0, by its name."""
    place, three = f"{files.folder}/search", search.proposals[3]
    early = next(
        each for each in search.proposals if len(search.decisions[each.key]) == 1
    )  # it ended at the first rung
    finished = next(end for end in search.ends.values() if end.state == "finished")
    (decision,), key = search.decisions[early.key], next(iter(search.keys))
    remove, put = files.storage.remove, files.put
    return {
        "proposals lost": lambda: remove(f"{place}/proposals/00003.json"),
        "proposals doubled": lambda: put(replace(three, number=12)),
        "proposals not reproduced": lambda: put(replace(search.proposals[-1], values=three.values)),
        "told before it was proposed": lambda: put(replace(search.proposals[-1], told=12)),
        "ends lost": lambda: remove(f"{place}/ends/00003.json"),
        "ends doubled": lambda: put(replace(finished, order=finished.order + 1)),
        "states told otherwise": lambda: put(replace(finished, told=None)),
        "decisions lost": lambda: remove(f"{place}/rungs/0/{early.key}.json"),
        "decisions doubled": lambda: files.put_decision(1, replace(decision, go_on=True)),
        "decisions on nothing": lambda: files.put_decision(0, replace(decision, key="nobody")),
        "search files lost": lambda: remove(f"{place}/rungs/0/{three.key}.json"),
        "search files changed": lambda: put(replace(finished, seconds=0.25)),
        "confirmed ones lost": lambda: remove(f"{files.folder}/confirmation.json"),
        "records lost": lambda: remove(f"trials/{key}/record.json"),
        "records of nothing": lambda: files.storage.write(
            "trials/other/record.json", files.storage.read(f"trials/{key}/record.json")
        ),
    }


@pytest.mark.slow
def test_each_fault_of_a_search_is_counted(searches: Nursery, searching: Truth, tmp_path: Path) -> None:
    search = Ended.read(searches.finished)
    for name in [None, *_damages(search, SearchFiles(Storage(str(searches.finished)), search.folder))]:
        shutil.copytree(searches.finished, storage := tmp_path / str(name), symlinks=True)
        watch = Watch(storage)
        watch.look()
        if name:
            _damages(search, SearchFiles(Storage(str(storage)), search.folder))[name]()
        watch.look()
        found = faults_of_search(Ended.read(storage), searching, storage, watch)
        assert found[name] > 0 if name else not found, f"{name}: {found}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", seeds(500, 1))
def test_dying_at_a_moment_changes_nothing_but_time(seed: int, searches: Nursery) -> None:
    _die(seed, searches)


@pytest.mark.long
@pytest.mark.parametrize("seed", seeds(600, _MANY))
def test_dying_at_many_moments_changes_nothing_but_time(seed: int, searches: Nursery) -> None:
    _die(seed, searches)


@pytest.mark.long
@pytest.mark.parametrize("seed", seeds(800, _ROUNDS))
def test_many_drivers_and_workers_on_ray_die(seed: int, searches: Nursery, searching: Truth, tmp_path: Path) -> None:
    undisturbed = replace(searching, storage=searches.finished, records=records_in(searches.finished))
    Round(seed, ["driver", "worker"] * 2, undisturbed, tmp_path, "--workers", "2", judge=search_faults).play()


def _die(seed: int, searches: Nursery) -> None:
    """Die at up to three seeded moments in a row, the last of them perhaps after the end, then be finished."""
    rng, storage = random.Random(seed), searches.storage(f"seed-{seed}")
    began, watch = time.monotonic(), Watch(storage)
    watch.start()
    kills, steps = 0, len(searches.steps)
    for _ in range(3):
        if searches.run(storage, die_at=rng.randrange(1, steps)) != KILLED:
            break
        kills += 1
    assert searches.run(storage) == 0, storage.with_suffix(".log").read_text()[-3000:]
    watch.end()
    expected, found = decided(searches.finished), decided(storage)
    records, undisturbed = records_in(storage), records_in(searches.finished)
    faults = Counter({
        "search files lost": len(expected.keys() - found.keys()),
        "search files of nothing": len(found.keys() - expected.keys()),
        "search files changed": sum(found[name] != value for name, value in expected.items() if name in found),
        "records lost": len(undisturbed.keys() - records.keys()),
        "records of nothing": len(records.keys() - undisturbed.keys()),
        "records changed": sum(records.get(key) != data for key, data in undisturbed.items()),
        "finished trials run twice": len(watch.written),
        "trainings begun again": len(watch.again),
        "half files seen": len(watch.halves),
    })  # fmt: skip
    TALLY.add(Counter({"between two steps of a search": kills}), kills, +faults, time.monotonic() - began)
    assert kills and not +faults, f"{dict(+faults)}; killed {kills} times, seed {seed}"
