"""Every parser of the project, with hostile inputs for it, what it may raise, and what holds of what it takes."""

import contextlib
import io
import json
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from musiclab.analysis.results import Results
from musiclab.cli import main as cli
from musiclab.data import workers
from musiclab.data.describe import describe
from musiclab.data.lpd5 import Lpd5
from musiclab.data.midi import Midi, file_windows
from musiclab.data.songs import BadSong, Song
from musiclab.data.store import build, open_store
from musiclab.data.transposition import TRANSPOSE
from musiclab.data.windows import WindowSpec, cut
from musiclab.data.workers import Chunk
from musiclab.design.trials import TrialSpec, Variant
from musiclab.errors import UserError
from musiclab.storage import leases
from musiclab.storage.documents import with_checksum
from musiclab.storage.files import Storage
from musiclab.storage.records import Records
from musiclab.storage.stages import CurvePoint, DamagedStage, StoredFiles
from musiclab.storage.trial_documents import Baselines, TrialCost
from musiclab.study import Ablation, Claim, Expect, Grid, Study, plan_file
from musiclab.study.options import design_of, parse_options
from musiclab.study.plan_file import PlanFile
from musiclab.study.run import StudyRun
from musiclab.systems import SYSTEMS, find_system
from musiclab.systems.base import GENERATED, read_generated, write_generated
from musiclab.systems.targets import named_targets
from musiclab.training import tensors
from musiclab.training.streams import Block
from tests.fuzz import mutators
from tests.support.made_results import made_study
from tests.support.made_songs import MUSIC, midi_bytes, npz_bytes, write_files

SPEC = WindowSpec()
leases._BEAT_S = 0.001  # a holder on another machine is waited for by the beat
plan_file.checkout_commit = str  # asks git
platform.platform()  # asks a program, once


@dataclass(frozen=True)
class Parser:
    """`good` gives an input without a fault, `make` a hostile one; `parse` takes it with a folder to work in.

    `refusals` are what it may raise.
    """

    good: Callable[[], Any]
    make: Callable[[Random], Any]
    parse: Callable[[Any, Path], Any]
    refusals: tuple[type[Exception], ...] = (UserError,)


# --- songs and their files ---


def _song(source: type, name: str) -> Callable[[bytes, Path], None]:
    def parse(data: bytes, folder: Path) -> None:
        _check_song(source.parse(name, data))

    return parse


def _check_song(song: Song) -> None:
    track, pitch, start, end = song.notes.T
    assert len(song.notes)
    assert track.min() >= 0 and track.max() < 5 and pitch.min() >= 0 and pitch.max() < 128
    assert start.min() >= 0 and (end > start).all()
    assert (np.diff(song.bars) > 0).all()
    assert np.isfinite(song.tempo) and song.tempo > 0
    assert all(text.isprintable() and len(text) <= 200 for text in (song.id, song.artist, song.title))
    cut(song, SPEC)


def _start_file(data: bytes, folder: Path) -> None:
    path = folder / "start.mid"
    path.write_bytes(data)
    for transpose in TRANSPOSE:
        assert file_windows(str(path), WindowSpec(transpose=transpose), "--start").windows.shape[1:] == (5, 32, 16)


def _archive(source: type[Lpd5] | type[Midi]) -> Callable[[bytes, Path], None]:
    def parse(data: bytes, folder: Path) -> None:
        path = folder / "archive"
        path.write_bytes(data)
        opened = source(path)
        opened.count()
        ids = []
        for name, content in opened.items():
            assert len(content) <= 32 << 20
            with contextlib.suppress(BadSong):
                ids.append(opened.parse(name, content).id)
        opened.names(ids)

    return parse


def _members() -> dict[str, bytes]:
    return {"a/1.npz": _npz(), "b/2.mid": _midi(), "3.npz": b"no song", "unique_tracks.txt": b"a<SEP>b<SEP>c<SEP>d\n"}


def _good_archive() -> bytes:
    return mutators.plain_zip(_members())


def _make_archive(rng: Random) -> bytes:
    members = _members() | {"unique_tracks.txt": mutators.names_file(rng)}
    return mutators.tar(rng, members) if rng.random() < 0.6 else mutators.hostile_zip(rng, members)


@cache
def _npz() -> bytes:
    return npz_bytes(MUSIC[:20], beats=40, resolution=4)


@cache
def _midi() -> bytes:
    return midi_bytes(MUSIC)


def _names(data: bytes, folder: Path) -> None:
    write_files(folder, {"songs/1.npz": _npz(), "unique_tracks.txt": data})
    found = Lpd5(folder / "songs").names(["TRAAEQM128F28E8281", "1"])
    assert all(isinstance(text, str) for pair in found.values() for text in pair)


# --- window stores ---


@cache
def _built() -> dict[str, bytes]:
    """The files of a small store."""
    with tempfile.TemporaryDirectory() as folder:
        files = {f"{number:02}.mid": midi_bytes([(1, 60 + number, 0, 32), (0, 36, 1, 2)]) for number in range(12)}
        store = build(Midi(write_files(Path(folder) / "songs", files | {"bad.mid": b"MThd"})), SPEC, Path(folder), 1)
        return {path.name: path.read_bytes() for path in store.folder.iterdir()}


def _make_store(rng: Random) -> dict[str, bytes]:
    files = dict(_built())
    if rng.random() < 0.6:
        files["songs.json"] = mutators.json_bytes(rng, json.loads(files["songs.json"]))
    else:
        windows = np.load(io.BytesIO(files["windows.npy"]), allow_pickle=False)
        files["windows.npy"] = mutators.hostile_npy(rng, windows)
    return files


def _store(files: dict[str, bytes], folder: Path) -> None:
    store = open_store(write_files(folder / "store", files))
    describe(store)
    ids = [song.id for song in store.songs]
    assert store.batch(store.indices(ids)).dtype == bool
    assert len(store.song_numbers(store.pairs(ids)[:, 0])) == len(store.windows) - len(ids)


@cache
def _part() -> dict[str, bytes]:
    """The two files of a part that a build which was cut short has left."""
    with tempfile.TemporaryDirectory() as folder:
        chunk = Chunk(Path(folder) / "000000", [("a.mid", _midi()), ("b.mid", b"MThd")])
        workers._make_part(chunk, Midi.parse, SPEC)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _make_part(rng: Random) -> dict[str, bytes]:
    files = dict(_part())
    if rng.random() < 0.5:
        return files | {"000000.npy": mutators.damaged(rng, files["000000.npy"])}
    return files | {"000000.json": mutators.json_bytes(rng, json.loads(files["000000.json"]))}


def _taken_up(files: dict[str, bytes], folder: Path) -> None:
    """A part is gone on from only if it is what was written; else it is made anew."""
    chunk = Chunk(write_files(folder, files) / "000000", [])
    assert chunk.is_done() == (_unspaced(files) == _unspaced(_part()))


def _unspaced(files: dict[str, bytes]) -> Any:
    """What the files say, however their JSON is written."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(files["000000.json"]), files["000000.npy"]
    return files


# --- words of users ---


def _make_values(rng: Random) -> list[tuple[str, Any]]:
    config = find_system(rng.choice(list(SYSTEMS))).config
    names = list(config().to_json())
    made = [(mutators.text(rng) if rng.random() < 0.05 else rng.choice(names), mutators.value(rng, "8", 0.5, "true"))]
    return [("system", rng.choice(list(SYSTEMS))), *made]


def _config(given: list[tuple[str, Any]], folder: Path) -> None:
    (_, system), *values = given
    config = find_system(system).config().with_values(dict(values))
    json.dumps(config.to_json(), allow_nan=False)


_WORDS = (
    "--plan", "--system", "--data", "--scale", "--set", "--blocks", "--until-clear", "--max-blocks", "--in-process",
    "--workers", "--gpus-per-trial", "--storage", "--tracking-uri", "--start", "--style", "--samples", "--windows",
    "--seed", "--out", "--study", "--trial", "--resolution", "--steps", "--hop", "demo", "article", "width=4",
    "alpha=0.5", "3", "0.5",
    "sqlite:///x.db", "http://127.0.0.1:5000", "http://[::1", "vae_nn", "data", "describe", "generate", "report",
)  # fmt: skip


def _make_words(rng: Random) -> list[str]:
    return [mutators.text(rng, *_WORDS) if rng.random() < 0.4 else rng.choice(_WORDS) for _ in range(rng.randrange(6))]


def _options(words: list[str], folder: Path) -> None:
    with contextlib.suppress(SystemExit):  # --help
        parse_options("A question?", words)
    with contextlib.suppress(SystemExit, UserError):
        cli.parser().parse_args(words)


def _good_study() -> dict[str, Any]:
    expect = Expect("frechet", {"latent_dim": 8}, "above", {"latent_dim": 16})
    return {
        "name": "made", "system": "vae_nn", "space": {"latent_dim": Grid(8, 16)}, "control": {"latent_dim": 16},
        "blocks": 2, "objective": "frechet", "margin": None, "claims": [Claim("C1", "So it is.", [expect])],
        "fixed": {"width": 4}, "seed": 0, "question": "Which?",
    }  # fmt: skip


def _make_study(rng: Random) -> dict[str, Any]:
    """The fields of a study, most of them good."""
    fields = _good_study()
    for _ in range(rng.choice((1, 1, 2))):
        field = rng.choice((*fields, "space", "space", "claims"))
        fields[field] = _study_field(rng, field)
    return fields


def _study_field(rng: Random, field: str) -> Any:
    if field == "space" and rng.random() < 0.8:
        values = [mutators.value(rng, 8, 16, "16") for _ in range(rng.randrange(4))]
        name = rng.choice(("latent_dim", "latent_dim", "system", "width", mutators.text(rng)))
        listed = [mutators.value(rng, {"latent_dim": 8}, {"system": "gan"}), {"latent_dim": 16}]
        components = mutators.value(rng, {"beta": (0.5, 1.0)}, {"x": ({"beta": 0.5}, {"beta": 1.0})}, {"width": values})
        return rng.choice((
            {name: Grid(*values)}, {"latent_dim": Grid(8, 16), name: Grid(*values)}, listed,
            Ablation(components, mutators.value(rng, "factorial", "fractional"), mutators.value(rng, None, 3)),
        ))  # fmt: skip
    if field == "claims" and rng.random() < 0.8:
        expect = Expect(
            mutators.value(rng, "frechet", "noise_sensitivity.Drums"), mutators.value(rng, {"latent_dim": 8}),
            mutators.value(rng, "above", "below"), mutators.value(rng, "real", {"latent_dim": 16}, 0.5),
        )  # fmt: skip
        claim = Claim(mutators.value(rng, "C1"), mutators.value(rng, "So."), mutators.value(rng, [expect], [expect]))
        return rng.choice(([claim], [claim, claim], [expect], mutators.value(rng)))
    return mutators.value(rng)


def _study(fields: dict[str, Any], folder: Path) -> None:
    songs = write_files(folder / "songs", {"1.mid": _midi()})
    options = parse_options("?", ["--data", f"midi:{songs}", "--storage", str(folder / "storage")])
    made = StudyRun(design_of(Study(**fields), options), Records(Storage(options.storage)))
    PlanFile(made).write()
    (plan,) = Records(Storage(options.storage)).plans.of_study(fields["name"]).values()
    assert list(plan.trial_specs) == made.trial_specs


_STYLES = ("song:03", "start.mid*0.5 + song:02", "midi:start.mid", 'artist:"J. S. Bach"*2 + song:01', "drawn")


def _make_style(rng: Random) -> str:
    return mutators.text(rng, *_STYLES)


def _style(text: str, folder: Path) -> None:
    write_files(folder, _built() | {"start.mid": _midi()})
    targets = named_targets(text, open_store(folder), SPEC, option="--style")
    assert abs(targets.weights.sum() - 1) < 1e-9
    assert len(targets.ids) == len(targets.songs) > 0


# --- what a storage holds ---


@cache
def _weights() -> bytes:
    generator = torch.Generator().manual_seed(0)
    made = {f"layer/{n}": torch.randn(4, 3, generator=generator) for n in range(3)} | {"step": torch.tensor(7)}
    return tensors.to_bytes(made, {"epoch": 3, "best": [1.5, None]})


def _load_weights(data: bytes, folder: Path) -> None:
    # Nothing but the very file may pass, up to how its header is written.
    found, meta = tensors.from_bytes(data)
    kept, kept_meta = tensors.from_bytes(_weights())
    assert meta == kept_meta
    assert found.keys() == kept.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in kept.items())


def _rolls() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 2, 5, 32, 16), np.uint8)


@cache
def _stage() -> dict[str, bytes]:
    """The files of a finished stage."""
    with tempfile.TemporaryDirectory() as folder:
        files = _stage_files(Path(folder))
        write_generated(files, _rolls())
        files.finish()
        return _files_under(folder)


def _stage_files(folder: Path) -> StoredFiles:
    cell = TrialSpec(Variant("vae_nn", {}, {}, "d"), Block(0, 0), {"generate": "g"})
    return StoredFiles(Storage(str(folder)), cell, "generate")


def _files_under(folder: str) -> dict[str, bytes]:
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _generated(data: bytes, folder: Path) -> None:
    write_files(folder, _stage() | {f"stages/g/{GENERATED}": data})
    assert np.array_equal(read_generated(_stage_files(folder)), _rolls())


@cache
def _stored() -> dict[str, bytes]:
    """The files of a storage with a finished study, a failure, a scale, curves, a sample, a split and a lease."""
    with tempfile.TemporaryDirectory() as folder:
        measured = {"set/frechet": 1.0, "music/pitch": float("nan")}
        trials = {"16": [measured, measured], "8": [measured, "out of memory"]}
        made_study(Path(folder), trials, music={"set/frechet": 0.5})
        storage = Storage(folder)
        Records(storage).put_baselines("scale", Baselines(values={"set/frechet.real": 1.0}))
        points = [{"name": "train/loss", "step": 1, "value": 0.5, "time": 1.0}]
        storage.write("stages/madev0b0/curves.json", json.dumps(points).encode())
        storage.write("trials/madem0b0/samples/start-1.mid", b"MThd")
        holder = {"user": "u", "host": "h", "machine": "m", "pid": 1, "started": "1", "since": "2026-01-01"}
        storage.write("leases/a.json", json.dumps(holder | {"phase": "holding", "beat": 0}).encode())
        return _files_under(folder)


def _make_stored(wanted: str) -> Callable[[Random], dict[str, bytes]]:
    def make(rng: Random) -> dict[str, bytes]:
        files = dict(_stored())
        name = rng.choice([name for name in files if wanted in name and name.endswith(".json")])
        files[name] = mutators.json_bytes(rng, json.loads(files[name]))
        return files

    return make


def _make_sealed(rng: Random) -> dict[str, bytes]:
    """Files that say something else than was written, under a checksum that fits."""
    files = dict(_stored())
    name = rng.choice([name for name, data in files.items() if b'"sha256"' in data])
    with contextlib.suppress(ValueError, RecursionError):
        said = json.loads(mutators.json_bytes(rng, json.loads(files[name])))
        if isinstance(said, dict):
            said.pop("sha256", None)
            files[name] = with_checksum(said)
    return files


def _records(files: dict[str, bytes], folder: Path) -> None:
    records = Records(Storage(str(write_files(folder, files))))
    for key in ("madem0b0", "madem0b1", "madem1b0", "madem1b1"):
        if record := records.get(key):
            assert all(isinstance(value, float | int) for value in record.measures.values())
            assert isinstance(record.trial_spec, TrialSpec)
        assert isinstance(records.run(key), TrialCost | None)
        if failure := records.failure(key):
            assert isinstance(failure.reason, str)
        records.samples(key)
    for point in records.stages.curves({"vae": "madev0b0"}):
        assert isinstance(point, CurvePoint)
    if scale := records.baselines("scale"):
        assert all(isinstance(value, float | int) for value in scale.values.values())


def _results(files: dict[str, bytes], folder: Path) -> None:
    Results.read(Storage(str(write_files(folder, files))), "made")


def _forged(files: dict[str, bytes], folder: Path) -> None:
    """Python may say what is wrong with files that no version has written; worse must not happen."""
    try:
        _results(files, folder)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError) as error:
        raise UserError("The storage is forged.") from error


def _leases(files: dict[str, bytes], folder: Path) -> None:
    storage = Storage(str(write_files(folder, files)))
    assert all(isinstance(holder, str) for holder in leases.active_holders(storage, "leases"))
    leases.should_continue(storage, "leases/a.json")


PARSERS = {
    "lpd5": Parser(_npz, mutators.npz, _song(Lpd5, "a.npz"), (BadSong,)),
    "info.json": Parser(_npz, mutators.info, _song(Lpd5, "a.npz"), (BadSong,)),
    "midi": Parser(_midi, mutators.midi, _song(Midi, "artist/title.mid"), (BadSong,)),
    "start file": Parser(_midi, mutators.midi, _start_file),
    "archive of npz": Parser(_good_archive, _make_archive, _archive(Lpd5)),
    "archive of MIDI": Parser(_good_archive, _make_archive, _archive(Midi)),
    "unique_tracks.txt": Parser(lambda: b"", mutators.names_file, _names),
    "window store": Parser(_built, _make_store, _store),
    "part of a store": Parser(_part, _make_part, _taken_up, ()),
    "config": Parser(lambda: [("system", "gan"), ("max_train", "64")], _make_values, _config),
    "options": Parser(lambda: ["--plan", "--set", "width=4"], _make_words, _options),
    "study": Parser(_good_study, _make_study, _study),
    "style": Parser(lambda: _STYLES[1], _make_style, _style),
    "weights": Parser(_weights, lambda rng: mutators.weights(rng, _weights()), _load_weights, (ValueError,)),
    "generated.npy": Parser(
        lambda: mutators.npy(_rolls()), lambda rng: mutators.hostile_npy(rng, _rolls()), _generated, (DamagedStage,)
    ),
    "records": Parser(_stored, _make_stored("trials/"), _records),
    "scales": Parser(_stored, _make_stored("scales/"), _records),
    "curves": Parser(_stored, _make_stored("curves"), _records),
    "plans": Parser(_stored, _make_stored("plan.json"), _results),
    "leases": Parser(_stored, _make_stored("leases/"), _leases),
    "sealed by another hand": Parser(_stored, _make_sealed, _forged),
}
