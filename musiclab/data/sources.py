"""The sources of songs that the option --data can name: musiclab's own, and those of users."""

import inspect
import re
import sys
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from musiclab.data.chorales import Chorales
from musiclab.data.lpd5 import Lpd5
from musiclab.data.midi import Midi
from musiclab.data.own_songs import OwnSongs, SongSource
from musiclab.data.parquet import Parquet, ParquetTokens
from musiclab.data.scores import Abc, MusicXml, MusPy
from musiclab.data.source import Source, check_as_written, check_class_as_written, running_code_of
from musiclab.errors import UserError
from musiclab.user_code import check_method, check_name, code_of, described, find, is_ours

# Those that read a folder or an archive.
KINDS: dict[str, type[Source]] = {
    kind.kind: kind for kind in (Lpd5, Midi, MusicXml, Abc, MusPy, Parquet, ParquetTokens)
}
CHOICES = f"{Chorales.kind}, KIND:PATH where KIND is {', '.join(KINDS)}, or file.py:Name:PATH for a source of your own"
_ALL: list[type[Source]] = [Chorales, OwnSongs, *KINDS.values()]
HOUSE = {kind.kind: kind for kind in _ALL}  # all of musiclab's own, by the names that no user's may have
# `file.py:Name` or `package.module:Name`, and the path that it is given, if any.
_OWN = re.compile(r"(?P<reference>(?P<place>.+?\.py|[A-Za-z_][\w.]*):[A-Za-z_]\w*)(?::(?P<path>.+))?")


def open_source(given: object) -> Source:
    """The source that --data names or a study holds.

    Args:
        given: "chorales"; a kind with a path, such as "midi:PATH"; a reference to a source of the user's, with the path
            that it takes: "file.py:Name:PATH", "package.module:Name:PATH", or "name:PATH" of an entry point; or a
            source.

    Raises:
        UserError: it is something else, or there is no such data.
    """
    if isinstance(given, Source | SongSource | type):
        return opened(given, None)
    if not isinstance(given, str):
        raise UserError(f"--data must be a text such as 'chorales' or 'midi:PATH', or a source; got {given!r}.")
    if given == Chorales.kind:
        return Chorales().opened()
    kind, _, path = given.partition(":")
    if kind in KINDS and path:
        return KINDS[kind](path).opened()
    if metadata.entry_points(group="musiclab.sources", name=kind):
        return opened(find(kind, "source"), path, given)
    own = _OWN.fullmatch(given)
    if own and (own["place"].endswith(".py") or _is_module(own["place"])):
        return opened(find(own["reference"], "source"), own["path"], given)
    raise UserError(f"--data must be {CHOICES}; got {given!r}.")


def _is_module(name: str) -> bool:
    """Whether a name that may be a kind of data is a module: of a package, or in the working directory."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:  # such as json
        return False
    spec = PathFinder.find_spec(top, [*sys.path, str(Path.cwd())])
    # A folder without `__init__.py` is a package too, but it may just have the name that was meant as a kind.
    return top in sys.modules or (spec is not None and (spec.origin is not None or "." in name))


def opened(found: Any, path: str | None, spec: str = "") -> Source:
    """The source that a user's class, function or object is or makes of a path, with its files as they are now.

    A user's own has the hash of its code, which enters the keys of its windows.

    Args:
        found: what a reference names.
        path: what the source is given; None if it gets none.
        spec: how --data names it.

    Raises:
        UserError: it is no source, or cannot be opened; the sentence names its file.
    """
    kind = found if isinstance(found, type) else type(found)
    if issubclass(kind, Source) and not is_ours(kind):
        check_class_as_written(kind)
        _check_class(kind)
    if isinstance(found, type) and issubclass(found, Source):
        if not path:
            example = f"--data {spec}:PATH" if spec else f"{found.__name__}(PATH)"
            raise UserError(f"{described(found)} must get a path; give {example}.")
        with running_code_of(found):
            source = found(path)
    elif isinstance(found, SongSource):
        source = found(path) if path else found()
    elif isinstance(found, Source) and not path:
        source = found
    else:
        what = "class" if isinstance(found, type) else type(found).__name__
        raise UserError(
            f"{described(found)} must be a subclass of musiclab.data.Source, or a function under @song_source; got a "
            f"{what}."
        )
    check_as_written(source)
    with running_code_of(type(source)):
        source = source.opened()
    if not is_ours(type(source)):
        source.code = code_of(type(source)).hash
    source.spec = spec or source.spec
    return source


def _check_class(kind: type[Source]) -> None:
    """UserError unless a user's class says all that a source must."""
    name = described(kind)
    if "kind" not in dir(kind):
        raise UserError(f"{name} must say its kind, such as kind = {kind.__name__.lower()!r}.")
    check_name(kind.kind, kind, "source", HOUSE)
    suffixes = getattr(kind, "suffixes", None)
    if not (
        isinstance(suffixes, tuple)
        and suffixes
        and all(isinstance(each, str) and re.fullmatch(r"\.[^A-Z/]+", each) for each in suffixes)
    ):
        raise UserError(
            f"{name} must say the suffixes of its files in a tuple, each with its dot and in lower case, such as "
            f"suffixes = ('.json',); got {suffixes!r}."
        )
    if getattr(kind.read, "__isabstractmethod__", False) or not isinstance(
        inspect.getattr_static(kind, "read"), classmethod | staticmethod
    ):
        raise UserError(f"{name} must define read(cls, name, data) under @classmethod, which returns a Song.")
    check_method(kind, "read", "cls, name, data")
