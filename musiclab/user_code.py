"""Code of users: finds an object of theirs, refuses a name that is taken, and says what of its code enters keys.

A system, a measure or a source may be a user's own. Whoever takes one from a command or a study calls three functions:

    mine = find("step_lstm.py:StepLSTM", "system")      # a reference becomes the object, an object stays itself
    check_name(mine.name, mine, "system", SYSTEMS)      # the name is a good one, and no other has it
    code = code_of(mine)                                # `code.hash` enters the keys, `code.modules` go to workers

A reference is `path/file.py:Name`, `package.module:Name`, or the name of an entry point of the group `musiclab.systems`
(`musiclab.measures`, `musiclab.sources`) that an installed package declares.

`find` runs what it finds, so it is for what the user's command or study names, and for nothing else. What records and
plans hold is text; no module that reads them calls it.

What enters keys: of the object's own file all that can change the object, see `musiclab.code_parts`; of other modules
of the user's, imported directly or not, all; of musiclab the revision of what it gives to code of users, see
`musiclab.interfaces`; of installed packages name and version. Comments, docstrings and empty lines change nothing. So a
study may stand beside its system in one file, and grow. Files that code opens, and modules that are imported by a name
made at run time, are not seen.

Files are read when their class is made (`remember`), so that an object keeps its keys while its files are edited, and
other processes get the code that the keys are made of, see `musiclab.sending`.
"""

import contextlib
import functools
import importlib
import inspect
import re
import sys
import weakref
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from types import FunctionType
from typing import Any

from musiclab.code_lock import StageCode, file_hash, is_among_installed, is_installed, text_hash
from musiclab.code_parts import changed_by_guard, essential, importable, is_behind_guard
from musiclab.errors import UserError
from musiclab.hashing import content_hash
from musiclab.interfaces import taken_of_musiclab
from musiclab.user_errors import why_failed
from musiclab.user_files import (
    SourceText,
    check_unchanged,
    file_of,
    full_name,
    name_in,
    reached_from,
    read_files,
    shown_name,
    versions,
)

_REFERENCE = re.compile(r"(?P<place>.+?\.py|[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")


@dataclass(frozen=True)
class UserCode:
    """The code behind an object of a user's.

    Attributes:
        module: the full name of the object's module; a script's is that of its file.
        place: what the object is called in its module.
        parts: the hash of each file of the user's by its module's name, that of the object's own file under "".
        musiclab: what counts of musiclab: the identity of each interface, and the hash of each other module.
        interfaces: those of musiclab that it is written with, see `musiclab.interfaces`.
        packages: the version of each installed package by its name.
        named: the hash of each of the user's files and the version of each package, by what a person calls them.
        sources: the user's files that are not installed, by module, for whoever sends the object to another process.
    """

    module: str
    place: str
    parts: dict[str, str]
    musiclab: dict[str, str]
    interfaces: tuple[StageCode, ...]
    packages: dict[str, str]
    named: dict[str, str]
    sources: dict[str, SourceText]

    @property
    def hash(self) -> str:
        """What enters keys; the name of the object's own file and where it is do not matter."""
        return content_hash([self.place, self.parts, self.musiclab, self.packages], 12)


def find(given: Any, noun: str, house: Collection[str] = ()) -> Any:
    """The object that is given, or the one that a reference names.

    Args:
        given: an object, or a text: `path/file.py:Name`, `package.module:Name`, or the name of an entry point.
        noun: what it is to be: `system`, `measure` or `source`.
        house: the names of musiclab's own, one of which may have been meant.

    Raises:
        UserError: nothing is found, or its file cannot be imported; the sentence names the file.
    """
    if not isinstance(given, str):
        return given
    if match := _REFERENCE.fullmatch(given):
        place, name = match["place"], match["name"]
        module = _module_of_file(place) if place.endswith(".py") else _module_of_package(place)
        if hasattr(module, name):
            return _with_files(getattr(module, name))
        near = get_close_matches(name, vars(module), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(f"{given!r} must name a {noun}, but {place} defines no {name!r}{hint or '.'}")
    if given.endswith(".py"):
        raise UserError(f"{given} must name a {noun} in the file, such as {given}:{name_in(given, noun)}.")
    points = metadata.entry_points(group=f"musiclab.{noun}s", name=given)
    if len(points) > 1:
        owners = " and ".join(sorted({point.dist.name for point in points if point.dist}))
        raise UserError(f"The {noun} {given!r} must be declared by one package; got {owners}. Uninstall one of them.")
    for point in points:
        try:
            return _with_files(point.load())
        except Exception as error:
            owner = f" of {point.dist.name}" if point.dist else ""
            raise UserError(f"The {noun} {given!r}{owner} cannot be imported: {why_failed(error)}.") from error
    yours = "One of your own is path/to/file.py:Name."
    if given in house:
        raise UserError(f"{given!r} is a {noun} of musiclab's, and here one of your own is asked for. {yours}")
    near = get_close_matches(given, house, n=1)
    known = f"; did you mean {near[0]!r}?" if near else f"; there is {', '.join(house)}." if house else "."
    raise UserError(f"There is no {noun} {given!r}{known} {yours}")


def _with_files(thing: Any) -> Any:
    """The object; its files are read now, unless its class has seen to that."""
    if isinstance(thing, type | FunctionType) and not _remembered_of(thing):
        remember(thing)
    return thing


def is_reference(text: str) -> bool:
    """Whether a text names an object in a file or a module, as `find` takes it; nothing is looked up."""
    return _REFERENCE.fullmatch(text) is not None


def is_ours(thing: Any) -> bool:
    """Whether a class or function is musiclab's, and no user's."""
    return str(thing.__module__).partition(".")[0] == "musiclab"


def check_name(name: object, thing: Any, noun: str, house: Collection[str]) -> None:
    """Raise UserError unless the name of a user's object is a good one that no object of the house has.

    Args:
        name: what the object calls itself; it stands in keys, tables and the names of files.
        thing: the object, whose place the sentence names.
        noun: `system`, `measure` or `source`.
        house: the names that are taken.
    """
    what = "kind" if noun == "source" else "name"
    such_as = f"def my_{noun}(rolls)" if noun == "measure" else f"{what} = 'my_{noun}'"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(
            f"{described(thing)} must have a {what} of letters, digits and '_', such as {such_as}; got {name!r}."
        )
    if name in house:
        raise UserError(f"{described(thing)} must have a {what} of its own; {name!r} is a {noun} of musiclab's.")


def check_different(things: dict[str, Any], noun: str, name: str, thing: Any) -> None:
    """Raise UserError if `things`, by name, has another object of that name."""
    other = things.get(name, thing)
    if other is not thing:
        raise UserError(f"Two {noun}s have the name {name!r}: {described(other)}, and {described(thing)}; rename one.")


def check_method(kind: type, name: str, parameters: str) -> None:
    """Raise UserError unless a method of a user's class takes what it will get, such as `self, stage, run`."""
    member = inspect.getattr_static(kind, name)
    function = getattr(member, "__func__", member)
    if not isinstance(function, FunctionType):
        if not callable(getattr(kind, name)):
            raise UserError(f"{described(kind)} must define {name}({parameters}); got {name} = {member!r}.")
        return
    signature = inspect.signature(function)
    try:
        signature.bind(*parameters.split(", ")[isinstance(member, staticmethod) :])
    except TypeError:
        raise UserError(f"{described(kind)} must define {name}({parameters}); got {name}{signature}.") from None


def described(thing: Any) -> str:
    """The file and the name of a class or function, for a sentence: `step_lstm.py: StepLSTM`."""
    module, name = getattr(thing, "__module__", ""), getattr(thing, "__qualname__", repr(thing))
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    return f"{Path(file).name if file else module}: {name}" if module else str(name)


_remembered: weakref.WeakKeyDictionary[Any, dict[str, SourceText]] = weakref.WeakKeyDictionary()


def remember(thing: Any) -> None:
    """Keep the text of the files behind a class or function; called while its module is imported, if possible.

    Errors are left to `code_of`.
    """
    with contextlib.suppress(UserError, OSError, SyntaxError, ValueError):
        _remembered[thing] = read_files(thing)


def _remembered_of(thing: Any) -> dict[str, SourceText]:
    """What was kept of an object, or of the function that its decorators wrap (`functools.wraps`)."""
    while thing is not None and thing not in _remembered:
        thing = getattr(thing, "__wrapped__", None)
    return _remembered.get(thing, {}) if thing is not None else {}


@functools.cache
def code_of(thing: Any, measuring: bool = True) -> UserCode:
    """The code behind a class or function of a user's; its `hash` enters keys.

    It is worked out once for each object, so that an object keeps its keys while its file is edited under it.

    Args:
        thing: the class or function.
        measuring: whether what is imported inside functions named `*_measures` counts.

    Raises:
        UserError: it is in no file, as what a notebook's cell defines; its file is called like a module of Python's or
            of an installed package; it has no name in its file; its file changes what it depends on when it runs as a
            script; or a file was edited after it was imported.
    """
    path, module, place = file_of(thing), full_name(thing.__module__), _place(thing)
    _check_module(thing, module, path)
    try:
        texts = _remembered_of(thing)
        texts = texts if module in texts else read_files(thing)
        check_unchanged(texts)
        text = texts[module].text if texts else ""
        name = "" if "<locals>" in thing.__qualname__ else place.partition(".")[0]
        own = essential(text, name)
        found = reached_from(own, path, module, measuring)
        others = [source.text for each, source in texts.items() if each != module]
        if module in found.files or any("__subclasses__" in each for each in others):  # who knows what these take of it
            own = importable(text)
            found = reached_from(own, path, module, measuring)
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{described(thing)} must be in files that Python can read: {why_failed(error)}.") from error
    if thing.__module__ == "__main__" and is_behind_guard(text, name):
        raise UserError(
            f"{described(thing)} must be defined above `if __name__ == '__main__':`, because other processes do not "
            "run what is under it."
        )
    if thing.__module__ == "__main__" and (changed := changed_by_guard(text, name)):
        raise UserError(
            f"{path.name}: {changed[0]} must not be changed under `if __name__ == '__main__':`, because "
            f"{thing.__qualname__} depends on it and other processes do not run that; change it above."
        )
    files = {each: file for each, file in found.files.items() if each != module}
    importables = {each: importable(source.text) for each, source in texts.items()}
    parts = {each: text_hash(importables[each]) if each in texts else file_hash(file) for each, file in files.items()}
    parts[""] = text_hash(own) if texts else file_hash(path)
    shown = {each: shown_name(each, file) for each, file in files.items()} | {"": path.name}
    bases = [each.__module__ for each in getattr(thing, "__mro__", ()) if each.__module__.startswith("musiclab.")]
    interfaces, house = taken_of_musiclab(found.house, bases, measuring)
    packages = dict(sorted(versions(found.packages)))
    return UserCode(
        module=module,
        place=place,
        parts=dict(sorted(parts.items())),
        musiclab={each.name: each.identity for each in interfaces} | {each: file_hash(house[each]) for each in house},
        interfaces=interfaces,
        packages=packages,
        named={shown[each]: parts[each] for each in sorted(shown)} | packages,
        sources={
            each: SourceText(source.path, importables[each])
            for each, source in texts.items()
            if (each in files or each == module) and not is_installed(each.partition(".")[0])
        },
    )


def _check_module(thing: Any, module: str, path: Path) -> None:
    """UserError if another process that imports a module of a user's could mean one of Python's or of a package's.

    A script may have any name, but its classes are sent by the name of its file, which must take nobody's place.
    """
    top = module.partition(".")[0]
    spec = PathFinder.find_spec(top)
    installed = spec is not None and spec.origin is not None and is_among_installed(Path(spec.origin))
    if (top in sys.stdlib_module_names or installed) and not is_among_installed(path):
        owner = "Python's own" if top in sys.stdlib_module_names else "that of an installed package"
        raise UserError(
            f"{described(thing)} must be in a file of another name, because other processes import it by that name, "
            f"and the module {top!r} is {owner}."
        )


def _place(thing: Any) -> str:
    """What an object is called in its module, from where other processes take it."""
    module = sys.modules[thing.__module__]
    for place in (thing.__qualname__, *(name for name, value in list(vars(module).items()) if value is thing)):
        at: Any = module
        for part in place.split("."):
            at = getattr(at, part, None)
        if at is thing:
            return str(place)
    raise UserError(
        f"{described(thing)} must have a name at the top level of its file, so that other processes can import it."
    )


def _module_of_file(place: str) -> Any:
    """The module of a file, imported by the name that the file has in its own package or folder."""
    path = Path(place).expanduser().resolve()
    if not path.is_file():
        raise UserError(f"{place} must be a file of Python; there is none.")
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script and Path(script).resolve() == path:
        return sys.modules["__main__"]
    folder, name = path.parent, path.stem
    while (folder / "__init__.py").is_file():
        folder, name = folder.parent, f"{folder.name}.{name}"
    if not all(part.isidentifier() for part in name.split(".")):
        raise UserError(f"{place} must have a name that Python can import, such as my_system.py.")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # so that it can import what lies beside it, as a script can
        importlib.invalidate_caches()
    module = _imported_module(name, place)
    file = getattr(module, "__file__", None)
    if not file or Path(file).resolve() != path:
        raise UserError(f"{place} must have a name of its own; {name!r} is also the module {file or 'of Python'}.")
    return module


def _module_of_package(name: str) -> Any:
    """A module by its full name; those in the working directory are found too, as with `python -m`."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    return _imported_module(name, name)


def _imported_module(name: str, place: str) -> Any:
    try:
        with importing():
            return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a study that runs when it is imported
        raise UserError(f"{place} cannot be imported: {why_failed(error)}.") from error


_importing = 0  # how many imports of users' code are under way


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Within it a file of a user's is imported for what it defines, and must not run its study."""
    global _importing
    _importing += 1
    try:
        yield
    finally:
        _importing -= 1


def check_not_importing() -> None:
    """Raise UserError if a file is imported for what it defines."""
    if _importing:
        raise UserError("it runs a study while it is imported; put that under `if __name__ == '__main__':`")
