"""Golden runs: `python tests/golden/run.py CASES.json RESULTS.json` computes every stage's bits and numbers.

The same command is run in older checkouts, so the form of both files must not change:
CASES.json is `{system: {case: {field: value}}}`; RESULTS.json is
`{stage: {case: {"bits": hash of all that the stage made, "numbers": {name: value}}}}`. It has no cases that the configs
of this checkout refuse.
"""

import hashlib
import io
import json
import math
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import miditok
import numpy as np
import pyarrow
import symusic
import torch
from pyarrow import parquet

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


from musiclab.data.chorales import Chorales  # noqa: E402 - all these imports need the path
from musiclab.data.lpd5 import Lpd5  # noqa: E402
from musiclab.data.midi import Midi  # noqa: E402
from musiclab.data.own_songs import song_source  # noqa: E402
from musiclab.data.parquet import Parquet, ParquetTokens  # noqa: E402
from musiclab.data.scores import Abc, MusicXml, MusPy  # noqa: E402
from musiclab.data.songs import TRACKS, BadSong, Song  # noqa: E402
from musiclab.data.source import Source  # noqa: E402
from musiclab.data.store import WindowStore, build  # noqa: E402
from musiclab.data.transposition import TO_C  # noqa: E402
from musiclab.data.windows import WindowSpec, cut, pack, unpack  # noqa: E402
from musiclab.errors import UserError  # noqa: E402
from musiclab.measures.declaring import declared  # noqa: E402
from musiclab.measures.window_set import WindowSet  # noqa: E402
from musiclab.systems import find_system  # noqa: E402
from musiclab.systems.base import StageRun, System, read_generated, write_generated  # noqa: E402
from musiclab.systems.config import GENERATE, MEASURE, Config  # noqa: E402
from musiclab.systems.evaluation import measured, own_baselines, own_measured, real_baselines  # noqa: E402
from musiclab.training import tensors  # noqa: E402
from musiclab.training.files import CHECKPOINT, CURVES  # noqa: E402
from musiclab.training.streams import Block  # noqa: E402
from tests.golden.own import OwnSource, OwnSystem, own_function, own_measures  # noqa: E402
from tests.support.made_songs import (  # noqa: E402
    abc_bytes,
    midi_bytes,
    musicxml_bytes,
    muspy_bytes,
    mxl_bytes,
    npz_bytes,
    write_files,
    write_tar,
    write_zip,
)
from tests.support.made_trials import MemoryFiles, made_store, stage_run  # noqa: E402

Results = dict[str, dict[str, dict[str, Any]]]
# By the fields that a stage depends on: its files by stage and name.
Products = dict[str, dict[tuple[str, str], bytes]]
BLOCK = Block(0, 0)
SONGS, WINDOWS_A_SONG = 24, 5


def run(cases: dict[str, dict[str, dict[str, Any]]]) -> Results:
    """The results of all systems' cases, of the measures that all systems share, of every reader of songs, and of what
    users write: systems, measures and a source of their own.
    """
    torch.set_num_threads(1)
    results: Results = {}
    for name, system_cases in cases.items():
        system = find_system(name)
        trained: Products = {}
        for case, values in system_cases.items():
            try:
                config = system.config().with_values(values)
            except UserError:
                continue
            for stage, result in _trial(system, config, trained).items():
                results.setdefault(f"{name}/{stage}", {})[case] = result
    own = {"own-system": _own_systems(), "own-measure": _own_measures()}
    return results | {"measures": _measures()} | own | _sources()


def _trial(system: System[Any], config: Config, trained: Products) -> dict[str, Any]:
    """The result of each stage of a trial. A stage that an earlier case ran with the same fields is reused."""
    store, files = _store(config.window_spec), MemoryFiles()
    results: dict[str, Any] = {}
    key = ""
    for stage in system.stages:
        key += repr(sorted(config.of_stages(("windows", stage)).items()))
        current = stage_run(store, BLOCK, config, files.product(stage))
        if stage == MEASURE:
            measures = system.own_measures(current)
            results[stage] = _result([json.dumps(measures, sort_keys=True).encode()], measures)
            continue
        if key not in trained:
            system.run_stage(stage, current)
            trained[key] = {name: data for name, data in files.trial.items() if name[0] == stage}
        files.trial |= trained[key]
        products = {name: data for (_, name), data in sorted(trained[key].items()) if name != CHECKPOINT}
        results[stage] = _product(products)
    return results


def _product(files: dict[str, bytes]) -> dict[str, Any]:
    """Bits and numbers of a stage's files; curves without the times of their points."""
    pieces: list[bytes] = []
    numbers: dict[str, float] = {}
    for name, data in files.items():
        if name == CURVES:
            points = [(point["name"], point["step"], point["value"]) for point in json.loads(data)]
            pieces.append(repr(points).encode())
            numbers |= {curve: value for curve, _, value in points}  # the last point of each
            continue
        pieces += [name.encode(), data]
        if name.endswith(".safetensors"):
            state, _ = tensors.from_bytes(data)
            floats = [tensor.double().abs().sum() for tensor in state.values() if tensor.is_floating_point()]
            numbers[f"{name}, sum of magnitudes"] = float(torch.stack(floats).sum()) if floats else 0.0
        elif name.endswith(".npy"):
            packed = np.load(io.BytesIO(data), allow_pickle=False)
            numbers |= {f"{name}, {what}": value for what, value in _cells(packed).items()}
    return _result(pieces, numbers)


def _cells(packed: np.ndarray) -> dict[str, float]:
    """Of packed windows `(..., track, steps, 16)`: cells on, by track too, windows that sound, and windows in all."""
    by_window = np.unpackbits(packed, axis=-1).sum(axis=(-2, -1), dtype=np.int64).reshape(-1, packed.shape[-3])
    numbers = {"cells on": float(by_window.sum()), "windows": float(len(by_window))}
    numbers["windows that sound"] = float(by_window.any(axis=1).sum())
    return numbers | {f"cells on, {track}": float(by_window[:, place].sum()) for place, track in enumerate(TRACKS)}


def _result(pieces: Iterable[bytes], numbers: dict[str, float]) -> dict[str, Any]:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(len(piece).to_bytes(8, "big") + piece)
    rounded = {name: None if math.isnan(value) else float(f"{value:.6g}") for name, value in sorted(numbers.items())}
    return {"bits": digest.hexdigest()[:20], "numbers": rounded}


def _store(spec: WindowSpec) -> WindowStore:
    """Artificial songs in memory: scales over triads, a bass, a beat; strings play in a third of the songs."""
    windows = []
    for number in range(SONGS):
        rng = np.random.default_rng(number)
        rolls = np.zeros((WINDOWS_A_SONG, 5, spec.steps, 128), bool)
        root = 48 + int(rng.integers(12))
        for window in rolls:
            for step in range(0, spec.steps, 2):
                degree = int(rng.choice([0, 2, 4, 5, 7, 9, 11]))
                window[0, step, [36, 42] if step % 4 else [38]] = True
                window[1, step : step + 2, root + 12 + degree] = True
                window[2, step : step + 2, [root, root + 4, root + 7]] = True
                window[3, step, root - 12] = True
                window[4, step : step + 2, root + 24] = number % 3 == 0
        windows.append(pack(rolls))
    store = made_store(np.concatenate(windows), [WINDOWS_A_SONG] * SONGS)
    store.spec = spec
    return store


class _Transposed(System[Config]):
    """Continues a start by repeating it a third higher each time, so that its measures depend on no trained network."""

    name = "transposed"
    packed = True
    stages: ClassVar[dict[str, int]] = {GENERATE: 1, MEASURE: 1}
    conditions = ("start", "piano", "target")

    def train(self, stage: str, run: StageRun[Config]) -> None:
        raise NotImplementedError

    def continuations(self, run: StageRun[Config], starts: np.ndarray) -> np.ndarray:
        rolls = np.unpackbits(starts, axis=-1).astype(bool)
        shift = 0 if run.targets is None else int(run.targets.weights.argmax())
        return np.stack(
            [pack(np.roll(rolls, 4 * number + shift, axis=-1)) for number in range(1, run.config.continuation + 1)],
            axis=1,
        )

    def own_measures(self, run: StageRun[Config]) -> dict[str, float]:
        return {}

    def estimated_seconds(self, config: Config, windows: int) -> float:
        return 0.0


_MEASURED: list[dict[str, Any]] = [
    {}, {"variations": 2}, {"resolution": 4, "steps": 64, "hop": 64}, {"target": "drawn"},
]  # fmt: skip


def _measures(cases: Iterable[dict[str, Any]] = _MEASURED) -> dict[str, dict[str, Any]]:
    """The measures that all systems share, and those of users, of music that no network made."""
    system, config_type = _Transposed(), find_system("vae_nn").config
    results: dict[str, dict[str, Any]] = {}
    for case in cases:
        values = {"max_train": 48, "max_eval": 24, "starts": 8, "continuation": 2} | case
        config, files = config_type().with_values(values), MemoryFiles()
        current = stage_run(_store(config.window_spec), BLOCK, config, files.product(MEASURE))
        baselines = real_baselines(current)
        starts = current.data.packed(current.data.starts[:, 0])
        generated = system.continuations(current, np.repeat(starts, config.variations, axis=0))
        write_generated(files.product(GENERATE), generated)
        assert read_generated(files.product(GENERATE)).shape == generated.shape
        measures, histograms = measured(system, current, baselines)
        pieces = [json.dumps(value, sort_keys=True).encode() for value in (baselines, measures, histograms)]
        name = ", ".join(f"{field}={value}" for field, value in case.items()) or "as it is"
        numbers = {f"real {key}": value for key, value in baselines["values"].items()} | measures
        results[name] = _result(pieces, numbers)
        scores, beside = own_measured(system, current, own_measures()), own_baselines(current, own_measures())
        pieces = [json.dumps(value, sort_keys=True).encode() for value in (scores, beside)]
        numbers = scores | {f"real {key}": value for values in beside.values() for key, value in values.items()}
        results[f"own measures, {name}"] = _result(pieces, numbers)
    return results


def _own_systems() -> dict[str, dict[str, Any]]:
    """What is trained and generated by a class and a function as users write them."""
    results: dict[str, dict[str, Any]] = {}
    for name, system, values in (
        ("as it is", OwnSystem(), {}),
        ("a learner", OwnSystem(), {"learner": True}),
        ("a function", own_function(), {"order": 2}),
    ):
        config = system.config().with_values({"max_train": 48, "max_eval": 24, "starts": 6, "continuation": 2} | values)
        stages = _trial(system, config, {})
        results |= {name if stage == GENERATE else f"{name}, {stage}": stages[stage] for stage in list(stages)[:-1]}
    return results


def _own_measures() -> dict[str, dict[str, Any]]:
    """What functions of users are given, and what becomes of what they return."""
    store = _store(WindowSpec())
    first, second = (
        WindowSet(unpack(store.windows[part]), np.repeat(np.arange(8), 5), 2, list(unpack(store.windows[part])))
        for part in (slice(40), slice(40, 80))
    )
    values = {each.name: each.value(first, second) for each in own_measures()}
    words = [vars(declared(each.function)) for each in own_measures()]
    return {"as it is": _result([json.dumps([values, words], sort_keys=True).encode()], values)}


def _sources() -> Results:
    """What the readers make of files of every kind that they distinguish, and the windows cut from these."""
    results: Results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        meters: list[tuple[float, int, int]] = [(0, 4, 2), (16, 3, 2)]
        short: list[tuple[int, int, float, float]] = [(1, 60, 0, 2), (2, 64, 1, 3)]
        midi = {"a/one.mid": midi_bytes(), "b/two.mid": midi_bytes(resolution=480, meters=meters, micros=500_000),
                "short.mid": midi_bytes(short)}  # fmt: skip
        lpd5 = {"A/one.npz": npz_bytes(), "B/two.npz": npz_bytes(resolution=12, key="resolution"),
                "C/three.npz": npz_bytes(downbeat=list(range(0, 960, 72)))}  # fmt: skip
        mxl = {"one.mxl": mxl_bytes(), "two.mxl": mxl_bytes(pickup=0, repeat=True), "three.mxl": mxl_bytes(voices=3)}
        chorales = Chorales()
        mxl |= {path.name: path.read_bytes() for path in sorted(chorales.path.glob("*.mxl"))[:4]}
        chorales.path = write_files(folder / "chorales", mxl)
        finer = WindowSpec(4, 16, 16)
        builds: list[tuple[str, Source, WindowSpec]] = []
        folders: tuple[Source, ...] = (
            Midi(write_files(folder / "midi", midi)),
            Lpd5(write_files(folder / "lpd5", lpd5)),
            chorales,
        )
        for source in folders:
            builds += [("as it is", source, WindowSpec()), ("four steps a beat", source, finer)]
            builds.append(("in one key", source, WindowSpec(transpose=TO_C)))
        builds += [("as it is", source, WindowSpec()) for source in _other_sources(folder, midi)]
        texts = {"a.txt": b"Piano 60 0 30\nBass 36 0 30\n", "b.txt": b"Piano 62 1 20\nDrums 42 0 0\n", "c.txt": b"?"}
        own = OwnSource(write_files(folder / "own", texts))
        builds += [("as it is", own, WindowSpec()), ("in one key", own, WindowSpec(transpose=TO_C))]
        builds.append(("a tar", Lpd5(write_tar(folder / "songs.tar.gz", lpd5)), WindowSpec()))
        builds.append(("a zip", Midi(write_zip(folder / "songs.zip", midi)), WindowSpec()))
        for case, source, spec in builds:
            store = build(source, spec, folder / "stores", workers=1)
            stage = "own-source" if isinstance(source, OwnSource) else f"data/{source.kind}"
            results.setdefault(stage, {})[case] = _built(source, spec, store)
    return results


def _other_sources(folder: Path, midi: dict[str, bytes]) -> list[Source]:
    """Of each kind that another library reads, and songs that a function yields."""
    tables = {"midi": [midi["a/one.mid"], midi["b/two.mid"], None], "title": ["One", None, "Three"]}
    (folder / "tables").mkdir()
    parquet.write_table(pyarrow.table(tables), folder / "tables" / "x.parquet")
    programs = {"use_programs": True, "one_token_stream_for_programs": True}
    tokenizer = miditok.REMI(miditok.TokenizerConfig(**programs))
    ids = [tokenizer.encode(symusic.Score.from_midi(data)).ids for data in (midi["a/one.mid"], midi["b/two.mid"])]
    (folder / "tokens").mkdir()
    parquet.write_table(pyarrow.table({"ids": ids}), folder / "tokens" / "x.parquet")
    tokenizer.save(folder / "tokens" / "tokenizer.json")
    scores = {"one.musicxml": musicxml_bytes(), "two.mxl": mxl_bytes(repeat=True), "bad.xml": b"<score-timewise/>"}
    return [
        MusicXml(write_files(folder / "musicxml", scores)),
        Abc(write_files(folder / "abc", {"one.abc": abc_bytes() + b"\n" + abc_bytes(number=2, bars=12)})),
        MusPy(write_files(folder / "muspy", {"one.json": muspy_bytes(), "two.json": muspy_bytes(barlines=[])})),
        Parquet(folder / "tables"),
        ParquetTokens(folder / "tokens"),
        song_source(_songs)(),
    ]


def _songs() -> Iterator[Song | BadSong]:
    yield BadSong("no song")
    for number in range(2):
        yield Song.of(f"song {number}", [("Piano", 60 + step % 7, step, 0.9) for step in range(40)], bars=3 + number)


def _built(source: Source, spec: WindowSpec, store: WindowStore) -> dict[str, Any]:
    """A store's bits and numbers. Its songs are read again in this process, so that coverage sees the readers."""
    for name, data in source.items():
        try:
            cut(source.parse(name, data), spec)
        except Exception:  # the store has skipped it, with the reason
            continue
    # By how much a song was moved was not there when the lock was first written. Its windows show it.
    rows = [[value for name, value in vars(song).items() if name != "transposed"] for song in store.songs]
    table = json.dumps(rows + [list(pair) for pair in store.skipped])
    windows = np.asarray(store.windows)
    numbers = {
        "songs": float(len(store.songs)),
        "windows": float(len(windows)),
        "cells on": float(np.unpackbits(windows).sum()),
        "semitones": float(sum(abs(song.transposed) for song in store.songs)),
    }
    return _result([table.encode(), windows.tobytes()], numbers)


if __name__ == "__main__":
    del __file__  # else every process that reads songs would first run this file, and so import all that trains
    Path(sys.argv[2]).write_text(json.dumps(run(json.loads(Path(sys.argv[1]).read_text()))))
