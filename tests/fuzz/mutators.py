"""Hostile inputs, each from a seeded generator: small good files damaged where it hurts."""

import bz2
import functools
import gzip
import io
import json
import lzma
import math
import pickle
import re
import string
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.support.made_songs import MUSIC, csc, midi_bytes, midi_file, npz_bytes, varying

MARKER = "unpickled"
_BOMB = 33 << 20  # bytes of zeros, more than any song may have

TEXTS = (
    "", " ", ".", "..", "../evil", "..\\evil", "/evil", "//evil", "C:\\evil", "C:/evil", "con", "CON", "nul.mid", "-rf",
    "--help", "~", "~/evil", "~nobody-there/evil", "$HOME", "`id`", "a\x00b", "a\nb", "a\r\nb",
    "\x1b[2J\x1b]0;evil\x07",
    "\u202egnp.exe", "\ufeff", "\udc80", "\ud83d\ude00", "e\u0301" * 50, "\u0627\ufdfa" * 40, "音 ü ñ", "%s%n", "{0}",
    "<script>alert(1)</script>", "]]>", "' OR 1=1 --", "=cmd|' /C calc'!A0", "@a", "\\input{/etc/passwd}", "$&_#^~%{}",
    "nan", "inf", "-inf", "1e999", "0x10", "1_0", "٣", "true", "null", "None", "[]", "{}", "a" * 10_000, "[" * 5_000,
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 3, 127, 128, 255, 256, 2**15, 2**16, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**31),
    -(2**63), 10**30, 10**400, 0.0, -0.0, 0.5, 1.5, 1e-320, 1e308, math.nan, math.inf, -math.inf,
)  # fmt: skip
VALUES = (*TEXTS, *NUMBERS, None, True, False, [], {}, [[]], [None], {"": None}, {"a": {"b": []}}, [0] * 1000)


class Evil:
    """Unpickled, it would leave a file."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path(MARKER),)


def damaged(rng: Random, data: bytes) -> bytes:
    """The bytes with one to four faults such as disks, networks and people make."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        rng.choice(_FAULTS)(rng, changed)
    return bytes(changed)


def _flip(rng: Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 1, 8))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(rng: Random, data: bytearray) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _cut(rng: Random, data: bytearray) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _drop(rng: Random, data: bytearray) -> None:
    start, end = _slice(rng, data)
    del data[start:end]


def _repeat(rng: Random, data: bytearray) -> None:
    start, end = _slice(rng, data)
    data[start:start] = data[start:end] * rng.choice((1, 2, 50))


def _move(rng: Random, data: bytearray) -> None:
    start, end = _slice(rng, data)
    piece = data[start:end]
    del data[start:end]
    at = rng.randrange(len(data) + 1)
    data[at:at] = piece


def _insert(rng: Random, data: bytearray) -> None:
    at = rng.randrange(len(data) + 1)
    text = rng.choice(TEXTS).encode(errors="surrogatepass")
    data[at:at] = rng.choice((text, rng.randbytes(rng.choice((1, 4, 100))), bytes(rng.choice((1, 512)))))


def _number(rng: Random, data: bytearray) -> None:
    """Overwrites what may be the field of a length."""
    size = rng.choice((2, 4, 8))
    if len(data) >= size:
        at = rng.randrange(len(data) - size + 1)
        value = rng.choice((0, 1, 2**31 - 1, 2**31, 2**62, 2**64 - 1, len(data), rng.getrandbits(64)))
        data[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, rng.choice(("little", "big")))


def _slice(rng: Random, data: bytearray) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 4, 30, 512)))


_FAULTS = (_flip, _flip, _set, _cut, _drop, _repeat, _move, _insert, _number, _number)


def text(rng: Random, *good: str) -> str:
    """A good text that has been tampered with, or one that never was good."""
    pieces = [*TEXTS, *good, *good]
    kind = rng.randrange(5)
    if kind == 0:
        return rng.choice(pieces)
    if kind == 1:
        return "".join(rng.choice(pieces) for _ in range(rng.randint(2, 4)))
    if kind == 2:
        return "".join(rng.choice(string.printable) for _ in range(rng.choice((1, 5, 40))))
    return damaged(rng, rng.choice(good or TEXTS).encode(errors="surrogatepass")).decode(errors="surrogateescape")


def value(rng: Random, *good: Any) -> Any:
    """A value of whatever type, sometimes a good one."""
    kind = rng.randrange(6)
    if kind == 0 and good:
        return rng.choice(good)
    if kind == 1:
        return [value(rng, *good) for _ in range(rng.randrange(4))]
    if kind == 2:
        return {text(rng): value(rng, *good) for _ in range(rng.randrange(3))}
    return rng.choice(VALUES)


def json_bytes(rng: Random, good: Any) -> bytes:
    """A good JSON value with some places changed, or its bytes damaged, or JSON that readers stumble over."""
    kind = rng.randrange(8)
    if kind == 0:
        return damaged(rng, json.dumps(good).encode())
    if kind == 1:
        return rng.choice(_JSON)
    changed = json.loads(json.dumps(good))
    for _ in range(rng.choice((1, 1, 2, 5))):
        changed = _replaced(rng, changed)
    try:
        return json.dumps(changed, ensure_ascii=rng.random() < 0.8).encode(errors="surrogatepass")
    except (ValueError, RecursionError):  # a number of too many digits
        return rng.choice(_JSON)


_JSON = (
    b"", b" ", b"[", b"{", b"null", b"0", b'""', b"[]", b"{}", b"NaN", b"1e999", b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b'{"a": 1, "a": 2}', b'"\\ud800"', b'"\xed\xa0\x80"', b"[" * 100_000, b'{"a":' * 100_000,
    b"[" * 5_000 + b"]" * 5_000,
    b"1" * 5_000, b"-", b"{'a': 1}", b'{"a": 1,}', b"\x00", b"//", b"Infinity", b"-Infinity", b"[null]", b"[[]]",
)  # fmt: skip


def _replaced(rng: Random, node: Any) -> Any:
    """The value with one place in it changed."""
    if isinstance(node, dict) and node and rng.random() < 0.9:
        name = rng.choice(list(node))
        kind = rng.randrange(12)
        if kind == 0:
            return {key: other for key, other in node.items() if key != name}
        if kind == 1:
            return node | {text(rng, name): node[name]}
        return node | {name: _replaced(rng, node[name])}
    if isinstance(node, list) and node and rng.random() < 0.9:
        at = rng.randrange(len(node))
        kind = rng.randrange(12)
        if kind == 0:
            return node[:at] + node[at + 1 :]
        if kind == 1:
            return node + node[: at + 1]
        return [*node[:at], _replaced(rng, node[at]), *node[at + 1 :]]
    return value(rng)


# --- .npz ---

_GOOD_INFO = {
    "beat_resolution": 4,
    "name": "made",
    "0": {"program": 0, "is_drum": True, "name": "d"},
    "1": {"program": 0, "is_drum": False, "name": "p"},
}


def _good_arrays() -> dict[str, np.ndarray]:
    rolls = np.zeros((2, 160, 128), np.uint8)
    rolls[0, ::4, 36] = 80
    rolls[1, :100, 60] = 90
    arrays = {"tempo": np.full(160, 100.0), "downbeat": np.arange(160) % 16 == 0}
    for index, roll in enumerate(rolls):
        arrays |= csc(f"pianoroll_{index}_csc", roll)
    return arrays


def npz(rng: Random) -> bytes:
    """A pianoroll file whose arrays, their headers, its info.json, or the zip archive around them are hostile."""
    if rng.random() < 0.15:
        return damaged(rng, npz_bytes(MUSIC[:20], beats=40, resolution=4))
    members = {f"{name}.npy": npy(array) for name, array in _good_arrays().items()}
    members["info.json"] = json.dumps(_GOOD_INFO).encode()
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(list(members))
        if name == "info.json":
            members[name] = json_bytes(rng, _GOOD_INFO)
        else:
            members[name] = hostile_npy(rng, _good_arrays()[name.removesuffix(".npy")])
    return hostile_zip(rng, members, rng.random() < 0.3)


def info(rng: Random) -> bytes:
    """A pianoroll file that is good but for its info.json."""
    members = {f"{name}.npy": npy(array) for name, array in _good_arrays().items()}
    return plain_zip(members | {"info.json": json_bytes(rng, _GOOD_INFO)})


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def hostile_npy(rng: Random, array: np.ndarray) -> bytes:
    """An array's file with another shape, type, header or content than it should have."""
    return rng.choice(_ARRAYS)(rng, array)


def _other_values(rng: Random, array: np.ndarray) -> bytes:
    flat = array.astype(rng.choice((array.dtype, array.dtype, np.dtype(np.float64)))).ravel().copy()
    for _ in range(rng.choice((1, 3, 100))):
        if len(flat):
            with np.errstate(all="ignore"):
                flat[rng.randrange(len(flat))] = _fitting(rng, flat.dtype)
    return npy(flat.reshape(array.shape))


def _fitting(rng: Random, dtype: np.dtype) -> Any:
    if dtype.kind == "f":
        return float(rng.choice([number for number in NUMBERS if abs(number) < 1e308 or number != number] + [math.inf]))
    if dtype.kind == "b":
        return rng.random() < 0.5
    limits = np.iinfo(dtype)
    return rng.choice((limits.min, limits.max, 0, 1, rng.randint(int(limits.min), int(limits.max)), rng.randrange(120)))


def _other_type(rng: Random, array: np.ndarray) -> bytes:
    types = ("<u8", ">i8", "<i2", "<f2", "<f8", ">f4", "<c16", "<M8[s]", "<m8[ns]", "<U4", "|S3", "|V8", "|b1", "|u1")
    with np.errstate(all="ignore"):
        return npy(np.zeros(array.shape, np.dtype(rng.choice(types))))


def _other_shape(rng: Random, array: np.ndarray) -> bytes:
    many = array.ravel()
    shapes = [many[:0], many[:1], np.tile(many, 2), many.reshape(1, -1), many[: len(many) // 2], many[:1][0]]
    return npy(np.asarray(rng.choice(shapes)))


def _other_header(rng: Random, array: np.ndarray) -> bytes:
    """A header that claims something of the content that follows."""
    shapes = ("(1099511627776,)", "(268435456,)", "(-1,)", "(0,)", "()", "(3,)", "(True,)", "(10**9,)",
              "(4611686018427387904, 4)",
              "(1.5,)", "None", "[5]", "('a',)", "(" * 90 + ")" * 90, "-" * 9000 + "1", f"({'9' * 3000},)",
              "(1,) * 9**9")  # fmt: skip
    descr = ("'<i8'", "'|O'", "'O'", "'|u1'", "'<f8'", "'|S1000000000'", "'<U99999999'", "[('a', '<i8')]",
             "'<i8,<i8'", "'|V0'",
             "('<i8', (1000000, 1000000))", "'?'", "5", "None", "'\\x00'", "__import__('os').system('id')")  # fmt: skip
    kind, order = rng.choice((repr(array.dtype.str), *descr)), rng.choice(("False", "True", "7"))
    shape = rng.choice((str(array.shape), *shapes))
    header = f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    if rng.random() < 0.1:
        header = json_bytes(rng, {"descr": "<i8"})[:30_000]
    version = rng.choice((b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"))
    size = len(header) if rng.random() < 0.9 else rng.randrange(1 << 16)
    length = struct.pack("<H", size % (1 << 16)) if version == b"\x01\x00" else struct.pack("<I", size)
    return b"\x93NUMPY" + version + length + header + array.tobytes()


def _pickled(rng: Random, array: np.ndarray) -> bytes:
    """An array of objects, a pickle behind a header of numbers, or nothing but a pickle."""
    payload = pickle.dumps(Evil(), rng.choice((0, 2, 5)))
    if rng.random() < 0.3:
        return payload
    file = io.BytesIO()
    kind = rng.choice(("|O", array.dtype.str))
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": array.shape})
    return file.getvalue() + payload


def _damaged_array(rng: Random, array: np.ndarray) -> bytes:
    return damaged(rng, npy(array))


_ARRAYS = (
    *(_other_values, _other_values, _other_values, _other_type),
    *(_other_shape, _other_header, _pickled, _damaged_array),
)


# --- archives ---


def plain_zip(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, (name, data) in enumerate(members.items()):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED)
    return file.getvalue()


def hostile_zip(rng: Random, members: dict[str, bytes], hostile: bool = True) -> bytes:
    """A zip archive of the members; a hostile one has members doubled, renamed, bombs, or lies in its directory."""
    if not hostile:
        return plain_zip(members)
    file = io.BytesIO(plain_zip(members))
    with zipfile.ZipFile(file, "a") as archive:
        for _ in range(rng.choice((0, 1, 2))):
            _hostile_member(rng, archive, list(members))
    data = bytearray(file.getvalue())
    for _ in range(rng.choice((0, 1, 1, 2))):
        _lie(rng, data)
    return damaged(rng, bytes(data)) if rng.random() < 0.3 else bytes(data)


def _hostile_member(rng: Random, archive: zipfile.ZipFile, names: list[str]) -> None:
    member = zipfile.ZipInfo(name_of_file(rng, *names)[:15_000].encode(errors="replace").decode())
    member.compress_type = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    member.external_attr = rng.choice((0, 0o120777, 0o040755, 0o020666, 0o100644)) << 16
    content = rng.choice((b"", b"x", b"../../evil", pickle.dumps(Evil()), bytes(100_000)))
    if member.compress_type == zipfile.ZIP_DEFLATED and rng.random() < 0.2:
        content = bytes(_BOMB)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two members of one name
        archive.writestr(member, content)


def _lie(rng: Random, data: bytearray) -> None:
    """Changes one field of a member's header in the directory, or of the end record."""
    entries = [found.start() for found in re.finditer(b"PK\x01\x02", data)]
    end = data.rfind(b"PK\x05\x06")
    if entries and rng.random() < 0.8:
        at, size = rng.choice(((6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (38, 4), (42, 4)))
        at += rng.choice(entries)
    else:
        at, size = rng.choice(((8, 2), (10, 2), (12, 4), (16, 4), (20, 2)))
        at += max(0, end)
    number = rng.choice((0, 1, 2, 9, 99, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, len(data), rng.getrandbits(32)))
    data[at : at + size] = (number % (1 << 8 * size)).to_bytes(size, "little")


def tar(rng: Random, members: dict[str, bytes]) -> bytes:
    """A tar archive with hostile members or headers among good ones, packed in some way or another."""
    form = rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    blocks = [_tar_member(name, data, form) for name, data in members.items()]
    for _ in range(rng.choice((0, 1, 1, 3))):
        blocks.insert(rng.randrange(len(blocks) + 1), rng.choice(_MEMBERS)(rng, list(members), form))
    data = b"".join(blocks) + bytes(rng.choice((1024, 1024, 1024, 0, 512, 10_240)))
    if rng.random() < 0.4:
        data = damaged(rng, data)
    data = rng.choice(_PACKED)(data)
    return damaged(rng, data) if rng.random() < 0.3 else data


def _tar_member(name: str, data: bytes, form: int, **fields: Any) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, content in fields.items():
        setattr(member, field, content)
    try:
        header = member.tobuf(form, "utf-8", "surrogateescape")
    except (ValueError, UnicodeError, OverflowError):  # what this format cannot say, the next one may
        return b""
    return header + data + bytes(-len(data) % 512)


def _named(rng: Random, names: list[str], form: int) -> bytes:
    return _tar_member(name_of_file(rng, *names), rng.choice((b"", b"x" * 600)), form)


def _linked(rng: Random, names: list[str], form: int) -> bytes:
    """A link, a device, a pipe or what nobody knows, and then a file that goes through it."""
    kind = rng.choice((b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"K", b"L", b"S", b"Z", b"x", b"g", b"X", b"\x00"))
    link = rng.choice(("/etc/passwd", "..", "../evil", "/", ".", names[0]))
    member = _tar_member(rng.choice((names[0], "through")), b"", form, type=kind, linkname=link)
    return member + _tar_member("through/evil.mid", b"x" * 20, form)


def _pax(rng: Random, names: list[str], form: int) -> bytes:
    records = {
        rng.choice(("path", "size", "mtime", "linkpath", "uid", "hdrcharset", "GNU.sparse.map", "GNU.sparse.size",
                    "GNU.sparse.realsize", "GNU.sparse.major", "GNU.sparse.minor", "GNU.sparse.name", "charset")):
        rng.choice(("-1", "nan", "1e999", "99999999999999", "0", "1", "BINARY", "0,1,2", "../evil", "a\x00b",
        "é" * 5_000))
        for _ in range(rng.choice((1, 2, 3)))
    }  # fmt: skip
    body = b""
    for name, content in records.items():
        record = f" {name}={content}\n".encode()
        body += str(len(record) + rng.choice((2, 3, 3, 3, 4, 9_999))).encode() + record
    return _tar_member("pax", body, form, type=rng.choice((b"x", b"x", b"g"))) + _tar_member(names[0], b"x" * 600, form)


def _sized(rng: Random, names: list[str], form: int) -> bytes:
    size = rng.choice((-1, -512, 1, 2**33, 2**40, 2**62, 40 << 20, 200 << 20))
    kind = rng.choice((b"0", b"L", b"K", b"x", b"g", b"S", b"5"))
    return _tar_member(rng.choice((*names, "notes.txt")), b"", form, size=size, type=kind)


def _zeros(rng: Random, names: list[str], form: int) -> bytes:
    return _tar_member(rng.choice((*names, "notes.txt")), bytes(rng.choice((1 << 16, 1 << 20, _BOMB))), form)


def _crowd(rng: Random, names: list[str], form: int) -> bytes:
    return _tar_member(rng.choice((*names, "notes.txt")), b"", form) * rng.choice((100, 5_000))


_PACKED = (
    bytes,
    functools.partial(gzip.compress, compresslevel=1),
    functools.partial(bz2.compress, compresslevel=1),
    functools.partial(lzma.compress, preset=0),
)
_MEMBERS = (_named, _named, _linked, _linked, _pax, _sized, _zeros, _crowd)


def name_of_file(rng: Random, *good: str) -> str:
    name = rng.choice((*TEXTS, *good, *(f"{part}.mid" for part in TEXTS), *(f"{part}/a.npz" for part in TEXTS)))
    return rng.choice((name, f"a/{name}", name.upper()))[:60_000]


# --- MIDI ---


def midi(rng: Random) -> bytes:
    """A MIDI file that is damaged, or whose events and lengths are hostile."""
    meters = [(0, 3, 2), (6, 4, 2)]
    if rng.random() < 0.4:
        return damaged(rng, midi_bytes(MUSIC[30:], resolution=rng.choice((24, 96, 480)), meters=meters))
    tracks = [_hostile_track(rng) for _ in range(rng.choice((1, 1, 2, 5)))]
    resolution = rng.choice((1, 24, 96, 480, 0x7FFF, 0, 0x8000, 0xE728))
    data = midi_file(tracks, resolution, rng.choice((0, 1, 1, 1, 2, 0xFFFF)))
    if rng.random() < 0.2:
        data = data[:10] + rng.choice((0, 1, 0xFFFF)).to_bytes(2) + data[12:]
    return damaged(rng, data) if rng.random() < 0.5 else data


def _hostile_track(rng: Random) -> bytes:
    odd = rng.choice((0, 0.01, 0.1))
    body = b""
    for _ in range(rng.choice((5, 50, 400))):
        far = rng.random() < odd
        body += varying(rng.choice((960, 100_000, 2**28 - 1)) if far else rng.choice((0, 1, 24, 96)))
        body += rng.choice(_ODD_EVENTS)(rng) if rng.random() < odd else _event(rng)
    if rng.random() < 0.2:
        body += b"\x00\xff\x2f\x00"
    size = len(body) if rng.random() < 0.9 else rng.choice((0, 1, len(body) * 2, 2**31, 2**32 - 1))
    return rng.choice((b"MTrk", b"MTrk", b"MTrk", b"XFIH")) + size.to_bytes(4) + body


def _event(rng: Random) -> bytes:
    channel, pitch, data = rng.randrange(16), rng.choice((36, 60, 61, 127, 0)), rng.randrange(128)
    meter = bytes([rng.choice((0, 1, 4, 63, 255)), rng.choice((0, 2, 6, 7, 255)), 24, 8])
    return rng.choice((
        bytes([0x90 | channel, pitch, data]), bytes([0x90 | channel, pitch, data]), bytes([0x80 | channel, pitch, 0]),
        bytes([0x80 | channel, pitch, 0]), bytes([0xC0 | channel, data]), bytes([0xE0 | channel, data, data]),
        b"\xff\x51\x03" + rng.randbytes(3), b"\xff\x51\x03\x00\x00\x00", b"\xff\x58\x04" + meter,
        b"\xff\x03\x05" + rng.randbytes(5), b"\xf0\x03abc", b"\xb0\x07\x7f",
    ))  # fmt: skip


_ODD_EVENTS = (
    lambda rng: bytes([rng.randrange(256)]),
    lambda rng: bytes([rng.randrange(256), rng.randrange(256)]),
    lambda rng: b"\xff\x51" + bytes([rng.randrange(128)]) + bytes(rng.randrange(128)),
    lambda rng: b"\xf0" + varying(2**27) + b"abc",
    lambda rng: b"\xff\x2f\x00",
    lambda rng: b"\x81\x80\x80\x80\x80",
)


# --- weights ---


def weights(rng: Random, good: bytes) -> bytes:
    """A safetensors file whose header lies about its tensors, or which is another kind of file."""
    size = int.from_bytes(good[:8], "little")
    header, body = json.loads(good[8 : 8 + size]), good[8 + size :]
    kind = rng.randrange(6)
    if kind == 0:
        return damaged(rng, good)
    if kind == 1:
        return rng.choice((pickle.dumps(Evil()), _torch_file(), npy(np.zeros(3)), b"\x80\x02}q\x00."))
    changed = json_bytes(rng, header)
    if kind == 2:
        name = rng.choice([name for name in header if name != "__metadata__"])
        field = rng.choice(("dtype", "shape", "data_offsets"))
        lies = ("F64", "I8", "BOOL", "F8_E4M3", [2**62], [0], [-1], [2**32, 2**32], [], [0, 2**63], [0, 0], [4, 0])
        changed = json.dumps(header | {name: header[name] | {field: rng.choice(lies)}}).encode()
    length = len(changed) if rng.random() < 0.9 else rng.choice((0, 2**40, 2**63, len(changed) // 2))
    return (length % 2**64).to_bytes(8, "little") + changed + rng.choice((body, body, body[:-1], body * 2, b""))


def _torch_file() -> bytes:
    """What torch.save would make of something evil."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Evil(), 2))
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


# --- lists of names ---


def names_file(rng: Random) -> bytes:
    lines = [f"TRAAEQM128F28E8281<SEP>SO{number}<SEP>Artist<SEP>Title" for number in range(4)]
    made = "\n".join(text(rng, *lines) for _ in range(rng.choice((1, 5, 200)))).encode(errors="surrogatepass")
    broken = damaged(rng, "\n".join(lines).encode())
    return rng.choice((made, made, broken, broken, b"<SEP>" * 100_000, b"TRAAEQM128F28E8281" * 50_000))
