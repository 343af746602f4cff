"""What a file is by its first bytes. The end of its name may say anything."""

import tarfile

HEAD_BYTES = 512  # as many first bytes as `kind_of` looks at: a block of a tar archive

ZIP = "a zip archive"
TAR = "a tar archive"
GZIP = "a gzip file"
BZIP2 = "a bzip2 file"
XZ = "an xz file"
MIDI = "a MIDI file"
TEXT = "a text file"
XML = "an XML file"
_SEVEN_ZIP = "a 7z archive"
_RAR = "a RAR archive"
_ZSTANDARD = "a Zstandard file"
PACKED = (ZIP, TAR, GZIP, BZIP2, XZ, _SEVEN_ZIP, _RAR, _ZSTANDARD)

_BEGINNINGS = {
    ZIP: (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08PK\x03\x04", b"PK00PK\x03\x04"),
    GZIP: (b"\x1f\x8b",),
    BZIP2: (b"BZh",),
    XZ: (b"\xfd7zXZ\x00",),
    _SEVEN_ZIP: (b"7z\xbc\xaf\x27\x1c",),
    _RAR: (b"Rar!\x1a\x07",),
    _ZSTANDARD: (b"\x28\xb5\x2f\xfd",),
    MIDI: (b"MThd",),
    "an MP3 file": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"),
    "an Ogg file": (b"OggS",),
    "a FLAC file": (b"fLaC",),
    "a NumPy array": (b"\x93NUMPY",),
    "an HDF5 file": (b"\x89HDF",),
    "a PDF file": (b"%PDF",),
    "a PNG picture": (b"\x89PNG",),
    "a JPEG picture": (b"\xff\xd8\xff",),
    "a GIF picture": (b"GIF8",),
    "a program": (b"\x7fELF", b"MZ"),
    "a companion file of macOS": (b"\x00\x05\x16\x07",),
    "a pointer of Git LFS": (b"version https://git-lfs",),
}
_RIFF = {b"RMID": MIDI, b"WAVE": "a WAV file", b"AVI ": "a video"}
_MARKUP = {b"<!doctype html": "an HTML page", b"<html": "an HTML page", b"<?xml": XML}
_TEXT_BYTES = frozenset(b"\t\n\r\f" + bytes(range(32, 127)))


def kind_of(head: bytes) -> str:
    """What a file is, such as "a zip archive", by its first `HEAD_BYTES`, of which `head` may be more.

    "" if that is unknown.
    """
    head = head[:HEAD_BYTES]
    if _is_tar(head):  # first, because a tar archive begins with the name of a file, which may be anything
        return TAR
    for kind, beginnings in _BEGINNINGS.items():
        if head.startswith(beginnings):
            return kind
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], "")
    if head[4:8] == b"ftyp":
        return "an MP4 file"
    if head[:4] == b"FORM" and head[8:11] == b"AIF":
        return "an AIFF file"
    if not head.strip(b"\x00"):
        return "nothing but zeros" if head else "an empty file"
    text = head.removeprefix(b"\xef\xbb\xbf").strip()
    for beginning, kind in _MARKUP.items():
        if text.lower().startswith(beginning):
            return kind
    return TEXT if text and _TEXT_BYTES.issuperset(text) else ""


def _is_tar(head: bytes) -> bool:
    """Whether a file begins with the header of a tar archive's member, old or new: its checksum must be right."""
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True
