"""The contract of sources: what musiclab relies on, tried on the first songs of a folder or a table."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from musiclab.data.own_songs import OwnSongs, song_bytes
from musiclab.data.songs import BadSong, Song, checked_song
from musiclab.data.source import Source
from musiclab.data.sources import HOUSE, opened
from musiclab.data.windows import WindowSpec, cut
from musiclab.errors import UserError
from musiclab.sending import Sent
from musiclab.testing.elsewhere import call_elsewhere
from musiclab.testing.promises import Promises
from musiclab.user_code import described, find, is_ours

_SONGS = 16
# What a folder of songs may hold too.
_DAMAGED = {"an empty file": b"", "a file of zeros": bytes(512), "a file of text": b"see the other folder\n"}


def check_source(source: Any, path: str | Path = "", /) -> None:
    """Try whether a source keeps what every source promises, with its first songs.

    It checks what the class says; that the same files give the same fingerprint, and the same songs in the same order;
    that there are songs, as `Song` says, that are long enough for a window; that each has a name of its own; that
    damaged files are skipped and do not end a build; and that another process reads the same songs.

    Args:
        source: a class, a function under `@song_source`, or what --data may name: `path/file.py:Name`.
        path: of a folder or an archive of songs, or what the function takes; "" if it takes nothing.

    Raises:
        BrokenPromises: with a sentence for each promise that is not kept.
        UserError: there is no such source.
    """
    found = find(source, "source", HOUSE)
    if isinstance(found, Source):
        raise UserError("check_source must get a class or a function, and the path that it takes; got a source itself.")
    promises = Promises(described(found))
    with promises.trying("opening it"):
        check = _Check(found, str(path), promises)
    promises.check()
    with promises.trying("reading songs"):
        check.run()
    promises.check()


class _Check:
    """One source of one path; it is opened anew for each reading."""

    def __init__(self, found: Any, path: str, promises: Promises) -> None:
        self.found, self.path, self.promises = found, path, promises
        self.source = opened(found, path or None)
        self.is_function = isinstance(self.source, OwnSongs)

    def run(self) -> None:
        songs = list(_songs(self.source))
        good = [song for _, song in songs if isinstance(song, Song)]
        self._twice()
        if self._usable(songs, good):
            self._names(good)
        if not self.is_function:
            self._damaged()
        if not self.promises.broken:  # they would be broken there too
            with self.promises.trying("reading in another process"):
                self._elsewhere()

    def _twice(self) -> None:
        right = "nothing may depend on the time, on chance, or on what was read before"
        one, other = (_report(opened(self.found, self.path or None)) for _ in range(2))
        if self._same_songs(one, other, "read twice", right):
            same = one["fingerprint"] == other["fingerprint"]
            self.promises.expect(same, f"content must be the same for the same files; {right}")

    def _usable(self, songs: list[tuple[str, Song | BadSong]], good: list[Song]) -> bool:
        reasons = [f"{name}: {reason}" for name, reason in songs if isinstance(reason, BadSong)]
        if not self.promises.expect(
            good, f"none of the first {len(songs)} songs can be read; {reasons[0] if reasons else 'there are none'}"
        ):
            return False
        for song in good:
            with self.promises.trying(f"the song {song.id!r}"):
                checked_song(song)
        spec = WindowSpec()
        return self.promises.expect(
            any(len(cut(song, spec)) for song in good),
            f"no song is as long as a window of {spec.steps / spec.resolution:.0f} beats; times must be in beats",
        )

    def _names(self, good: list[Song]) -> None:
        name, times = Counter(song.id for song in good).most_common(1)[0]
        self.promises.expect(
            times == 1 and all(song.id for song in good),
            f"each song must have a name of its own, such as that of its file; {times} have the name {name!r}",
        )

    def _damaged(self) -> None:
        """Files that are no songs, and half a song, which may be a song."""
        name = f"damaged{self.source.suffixes[0]}"
        song = next((content for _, content in self.source.items() if isinstance(content, bytes)), b"")
        for what, content in (_DAMAGED | {"half a file": song[: len(song) // 2]}).items():
            with self.promises.trying(f"reading {what}"), suppress(BadSong):
                self.source.parse(name, content)
                self.promises.expect(content, "an empty file must be no song; read must raise anything, or BadSong")

    def _elsewhere(self) -> None:
        if is_ours(self.found):
            return
        try:
            sent = Sent(self.found)
        except UserError:
            if self.is_function:  # in a notebook's cell: its songs travel, and its code need not
                return
            raise
        there = call_elsewhere(_report_elsewhere, sent.to_json(), self.path, str(Path.cwd()))
        right = "nothing may depend on the process, such as the order of a set, or what a script has changed"
        self._same_songs(_report(self.source), there, "read in another process", right)

    def _same_songs(self, one: dict[str, Any], other: dict[str, Any], when: str, right: str) -> bool:
        """Expect the songs of another reading; whether they are the same."""
        names, others = ([name for name, _ in report["songs"]] for report in (one, other))
        if not self.promises.expect(
            names == others, f"{when}, there are other songs, or in another order; sort what comes from a set or folder"
        ):
            return False
        pairs = zip(one["songs"], other["songs"], strict=True)
        differing = next((first[0] for first, second in pairs if first != second), None)
        return self.promises.expect(differing is None, f"{when}, {differing} gives another song; {right}")


def _songs(source: Source) -> Iterator[tuple[str, Song | BadSong]]:
    """The first songs by the names of their files or rows; why one cannot be read."""
    for name, content in islice(source.items(), _SONGS):
        try:
            yield name, source.parse(name, content)
        except BadSong as reason:
            yield name, reason


def _report(source: Source) -> dict[str, Any]:
    """What a source gives, as JSON says it: its fingerprint, and a checksum of each of its first songs."""
    digests = [
        [name, hashlib.sha256(song_bytes(song)).hexdigest() if isinstance(song, Song) else str(song)]
        for name, song in _songs(source)
    ]
    return {"fingerprint": source.fingerprint(), "songs": digests}


def _report_elsewhere(sent: dict[str, Any], path: str, folder: str) -> dict[str, Any]:
    os.chdir(folder)  # paths may be relative
    return _report(opened(Sent.of_json(sent).load(), path or None))
