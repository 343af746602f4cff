"""Small songs and files of every kind that a source reads, made by the tests themselves."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np

from musiclab.data.songs import Song

# (track, pitch, start, end) in beats: the same music whichever file carries it; 10 bars of 4/4.
MUSIC = [(0, 36, beat, beat + 0.25) for beat in range(40)] + [
    (1, 60, 0, 2),
    (1, 64, 2, 40),
    (2, 55, 1, 3),
    (3, 40, 0, 39),
    (4, 72, 8, 24),
]
PROGRAMS = [(0, True), (0, False), (24, False), (32, False), (48, False)]


def song(notes: list[tuple[int, int, int, int]], bars: list[int], length: int) -> Song:
    table = np.array(notes, np.int32).reshape(-1, 4)
    return Song("id", "artist", "title", table, np.array(bars, np.int32), length, 120.0)


def npz_bytes(
    music: list[tuple[int, int, float, float]] = MUSIC,
    beats: int = 40,
    resolution: int = 24,
    key: str = "beat_resolution",
    programs: list[tuple[int, bool]] = PROGRAMS,
    tempo: float = 100.0,
    downbeat: list[int] = (0,),
) -> bytes:
    """An .npz file as pypianoroll writes it; `key` is "beat_resolution" in the old layout, "resolution" in the new."""
    steps = beats * resolution
    rolls = np.zeros((len(programs), steps, 128), np.uint8)
    for track, pitch, start, end in music:
        last = round(end * resolution) if not programs[track][1] else round(start * resolution) + 1
        rolls[track, round(start * resolution) : last, pitch] = 80
    arrays = {"tempo": np.full(steps, tempo), "downbeat": np.isin(np.arange(steps), downbeat)}
    info = {key: resolution, "name": "made"}
    for index, (program, is_drum) in enumerate(programs):
        arrays |= csc(f"pianoroll_{index}_csc", rolls[index])
        info[str(index)] = {"program": program, "is_drum": is_drum, "name": f"track {index}"}
    return npz(arrays, info)


def csc(prefix: str, roll: np.ndarray) -> dict[str, np.ndarray]:
    """The four arrays of a sparse roll; an empty one has the shape (0, 128), as in the release."""
    pitch, time = np.nonzero(roll.T)
    shape = (len(roll), 128) if len(pitch) else (0, 128)
    return {
        f"{prefix}_data": roll[time, pitch],
        f"{prefix}_indices": time.astype(np.int32),
        f"{prefix}_indptr": np.searchsorted(pitch, np.arange(129)).astype(np.int32),
        f"{prefix}_shape": np.array(shape),
    }


def npz(arrays: dict[str, np.ndarray], info: object) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("info.json", info if isinstance(info, str | bytes) else json.dumps(info))
    return file.getvalue()


def varying(number: int) -> bytes:
    parts = [number & 0x7F]
    while number := number >> 7:
        parts.append(number & 0x7F | 0x80)
    return bytes(reversed(parts))


def midi_track(events: list[tuple[int, bytes]]) -> bytes:
    """A track chunk of (time, message) events, with its end mark."""
    body, now = b"", 0
    for time, message in sorted(events, key=lambda event: event[0]):
        body, now = body + varying(time - now) + message, time
    body += b"\x00\xff\x2f\x00"
    return b"MTrk" + len(body).to_bytes(4) + body


def midi_file(tracks: list[bytes], resolution: int = 96, kind: int = 1) -> bytes:
    head = kind.to_bytes(2) + len(tracks).to_bytes(2) + resolution.to_bytes(2)
    return b"MThd" + (6).to_bytes(4) + head + b"".join(tracks)


def midi_bytes(
    music: list[tuple[int, int, float, float]] = MUSIC,
    resolution: int = 96,
    programs: list[tuple[int, bool]] = PROGRAMS,
    meters: list[tuple[float, int, int]] = (),
    micros: int = 600_000,
) -> bytes:
    """A MIDI file with one track for each program; `meters` are (beat, numerator, power of two of the denominator)."""
    head = [(0, b"\xff\x51\x03" + micros.to_bytes(3))]
    head += [(round(at * resolution), bytes([0xFF, 0x58, 4, over, power, 24, 8])) for at, over, power in meters]
    tracks = [midi_track(head)]
    for index, (program, is_drum) in enumerate(programs):
        channel = 9 if is_drum else index
        events = [(0, bytes([0xC0 | channel, program]))]
        for track, pitch, start, end in music:
            if track == index:
                events.append((round(end * resolution), bytes([0x80 | channel, pitch, 0])))
                events.append((round(start * resolution), bytes([0x90 | channel, pitch, 90])))
        tracks.append(midi_track(events))
    return midi_file(tracks, resolution)


def mxl_bytes(voices: int = 4, title: str = "Made", pickup: int = 1, bars: int = 10, repeat: bool = False) -> bytes:
    """The score of `musicxml_bytes` as a compressed file."""
    container = '<container><rootfiles><rootfile full-path="score.xml"/></rootfiles></container>'
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("score.xml", musicxml_bytes(voices, title, pickup, bars, repeat))
    return file.getvalue()


def musicxml_bytes(
    voices: int = 4, title: str = "Made", pickup: int = 1, bars: int = 10, repeat: bool = False
) -> bytes:
    """A MusicXML file in 4/4 with a pickup of so many quarters; voice v sings pitch 72 - 5 v in halves."""
    parts, listed = "", ""
    for voice in range(voices):
        pitch = 72 - 5 * voice
        step, alter = [("C", 0), ("C", 1), ("D", 0), ("D", 1), ("E", 0), ("F", 0), ("F", 1), ("G", 0), ("G", 1),
                       ("A", 0), ("A", 1), ("B", 0)][pitch % 12]  # fmt: skip
        sung = f"<pitch><step>{step}</step><alter>{alter}</alter><octave>{pitch // 12 - 1}</octave></pitch>"
        half = f"<note>{sung}<duration>4</duration></note>"
        tied = [f'<note>{sung}<duration>4</duration><tie type="{kind}"/></note>' for kind in ("start", "stop")]
        meter = "<attributes><divisions>2</divisions><time><beats>4</beats><beat-type>4</beat-type></time></attributes>"
        first = f"<measure>{meter}<note>{sung}<duration>{2 * pickup}</duration></note></measure>" if pickup else ""
        later = meter if not pickup else ""
        end = '<barline><repeat direction="backward"/></barline>' if repeat else ""
        # Two bars are tied together: their halves at the bar line make one note of four beats.
        body = f"<measure>{later}{half}{tied[0]}</measure><measure>{tied[1]}{half}</measure>"
        body += f"<measure>{half}{half}</measure>" * (bars - 3) + f"<measure>{half}{half}{end}</measure>"
        parts += f'<part id="P{voice}">{first}{body}</part>'
        listed += f'<score-part id="P{voice}"><part-name>Voice {voice}</part-name></score-part>'
    return (
        f"<score-partwise><movement-title>{title}</movement-title>"
        f"<part-list>{listed}</part-list>{parts}</score-partwise>"
    ).encode()


def abc_bytes(title: str = "Made", number: int = 1, bars: int = 10) -> bytes:
    """A tune in 4/4 of as many bars, with a pickup of a quarter."""
    return f"X:{number}\nT:{title}\nM:4/4\nL:1/4\nK:C\nG|{'CDEF|' * bars}]\n".encode()


def muspy_bytes(
    music: list[tuple[int, int, float, float]] = MUSIC, programs: list[tuple[int, bool]] = PROGRAMS, **fields: object
) -> bytes:
    """Music as MusPy saves it in JSON, in 4/4, with bar lines."""
    tracks = [
        {
            "program": program,
            "is_drum": is_drum,
            "notes": [
                {"time": round(24 * start), "pitch": pitch, "duration": round(24 * (end - start)), "velocity": 90}
                for track, pitch, start, end in music
                if track == index
            ],
        }
        for index, (program, is_drum) in enumerate(programs)
    ]
    whole = {
        "metadata": {"schema_version": "0.2", "title": "Made", "creators": ["Somebody"]},
        "resolution": 24,
        "tempos": [{"time": 0, "qpm": 100.0}],
        "time_signatures": [{"time": 0, "numerator": 4, "denominator": 4}],
        "barlines": [{"time": 96 * bar} for bar in range(10)],
        "tracks": tracks,
    }
    return json.dumps(whole | fields).encode()


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path
