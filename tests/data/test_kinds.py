import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from musiclab.data.kinds import HEAD_BYTES, kind_of
from tests.support.made_songs import midi_bytes, mxl_bytes, npz_bytes, write_tar, write_zip


def zeros_saved() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (midi_bytes(), "a MIDI file"),
        (b"RIFF\x00\x01\x00\x00RMIDdata" + midi_bytes(), "a MIDI file"),
        (npz_bytes(), "a zip archive"),
        (mxl_bytes(), "a zip archive"),
        (zeros_saved(), "a NumPy array"),
        (gzip.compress(midi_bytes()), "a gzip file"),
        (bz2.compress(midi_bytes()), "a bzip2 file"),
        (lzma.compress(midi_bytes()), "an xz file"),
        (b"ID3\x04\x00" + bytes(50), "an MP3 file"),
        (b"\xff\xfb\x90\x64" + bytes(50), "an MP3 file"),
        (b"RIFF\x00\x01\x00\x00WAVEfmt ", "a WAV file"),
        (b"RIFF\x00\x01\x00\x00????", ""),
        (b"\x00\x00\x00\x20ftypM4A ", "an MP4 file"),
        (b"FORM\x00\x00\x01\x00AIFF", "an AIFF file"),
        (b"%PDF-1.7", "a PDF file"),
        (b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X", "a companion file of macOS"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        (b"\xef\xbb\xbf\r\n <!DOCTYPE HTML>\n<html>", "an HTML page"),
        (b"<html><body>404", "an HTML page"),
        (b'<?xml version="1.0"?>', "an XML file"),
        (b"Not found.\n", "a text file"),
        (bytes(4000), "nothing but zeros"),
        (b"", "an empty file"),
        (b"\x01\x02\x03\x04", ""),
        ("ré".encode("latin-1"), ""),
    ],
)
def test_a_file_is_what_its_first_bytes_say(data: bytes, kind: str) -> None:
    assert kind_of(data) == kind
    assert kind_of(data[:HEAD_BYTES]) == kind


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, "old"])
@pytest.mark.parametrize("name", ["song.mid", "PK\x03\x04", "BZh9.mid", "MThd.mid", "ID3/é.mid", "%PDF"])
def test_a_tar_is_one_whatever_its_first_file_is_called(name: str, form: int | str) -> None:
    member = tarfile.TarInfo(name)
    header = bytearray(member.tobuf(tarfile.USTAR_FORMAT if form == "old" else form))
    if form == "old":  # as before there was a mark
        header[257:265] = bytes(8)
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    assert kind_of(bytes(header)) == "a tar archive"
    header[0] ^= 1  # its checksum is wrong now
    assert kind_of(bytes(header[:512])) != "a tar archive"


def test_archives_are_told_apart_by_their_beginnings(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "inner", {"1": b"1"}).read_bytes()
    assert kind_of(write_tar(tmp_path / "tar", {"inner.zip": inner}, "w").read_bytes()) == "a tar archive"
    with zipfile.ZipFile(tmp_path / "empty", "w"):
        pass
    assert kind_of((tmp_path / "empty").read_bytes()) == "a zip archive"
