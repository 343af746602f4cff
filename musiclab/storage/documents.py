"""Documents: the JSON files of a storage, each with its format number and a checksum of its content.

A document whose checksum does not match counts as missing, so the work that it recorded is done again. A document
of a newer format than this version reads is not damaged: it is left alone, and reading it raises `NewerFormat`.
"""

import json
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Protocol, Self, TypeVar, get_type_hints

from musiclab.errors import UserError
from musiclab.fields import Fields
from musiclab.hashing import content_hash
from musiclab.storage.files import Storage

NO_CHECKSUM = "it has no checksum, so another version of musiclab wrote it, or something else did"
OTHER_FORM = "another version of musiclab wrote it"
FORMAT = "format"  # the field with the format's number; documents without it are of format 0
_CHECKSUM = "sha256"


class NewerFormat(UserError):
    """A document has a newer format than this version reads; `reason` is what the sentence says of the file."""

    def __init__(self, name: str, format: int, newest: int) -> None:
        self.reason = f"has format {format}, and this musiclab reads up to {newest}"
        super().__init__(f"{name} {self.reason}; install a newer musiclab to read it.")


class Document(Protocol):
    """A kind of document: a frozen dataclass with a format number.

    `from_json` reads that format and all earlier ones: it takes a missing optional field to have its default, keeps
    fields that it does not know in `extra`, and raises ValueError if the rest makes no sense. `to_json` writes the
    newest format, `extra` included.
    """

    FORMAT: ClassVar[int]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """What `to_json` of this version or an earlier one gave."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        ...


Kind = TypeVar("Kind", bound=Document)


@dataclass(frozen=True, kw_only=True)
class FlatDocument:
    """A document all of whose fields are single numbers, texts or switches; a subclass declares them and nothing else.

    A field with a default may be missing in a file. What else must hold of the values, `__post_init__` checks.

    Attributes:
        extra: fields that this version does not know.
    """

    FORMAT: ClassVar[int] = 1

    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        given, kinds = Fields(value), get_type_hints(cls)
        given.take_or(FORMAT, int, 0)
        own: dict[str, Any] = {}
        for each in fields(cls):
            if each.name == "extra":
                continue
            if each.default is MISSING:
                own[each.name] = given.take(each.name, kinds[each.name])
            else:
                own[each.name] = given.take_or(each.name, kinds[each.name], each.default)
        return cls(**own, extra=given.rest)

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "extra"}
        return {FORMAT: self.FORMAT} | own | self.extra


def with_checksum(value: dict[str, Any], sort_keys: bool = True) -> bytes:
    """A JSON file of a storage: `value` and its checksum; equal values are equal bytes if keys are sorted."""
    whole = value | {_CHECKSUM: content_hash(value)}
    return json.dumps(whole, indent=1, sort_keys=sort_keys, allow_nan=False).encode() + b"\n"


def verified(data: bytes) -> dict[str, Any]:
    """The value that was given to `with_checksum`; ValueError if it is not what was written."""
    try:
        value: dict[str, Any] = json.loads(data)
        if _CHECKSUM not in value:
            raise ValueError(NO_CHECKSUM)
        if value.pop(_CHECKSUM) != content_hash(value):
            raise ValueError("it is not what was written")
        return value
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("it is no file of a musiclab storage") from error


def format_of(value: dict[str, Any]) -> int:
    """The number of a document's format; ValueError if it is no such number."""
    number = value.get(FORMAT, 0)
    if type(number) is not int or number < 0:
        raise ValueError(OTHER_FORM)
    return number


def check_format(name: str, value: dict[str, Any], newest: int) -> None:
    """NewerFormat if the document's format is newer than `newest`; ValueError if it has no valid number."""
    if (number := format_of(value)) > newest:
        raise NewerFormat(name, number, newest)


def without_nan(values: dict[str, float]) -> dict[str, float | None]:
    """NaN as None, because JSON has no NaN."""
    return {name: None if value != value else value for name, value in values.items()}


def with_nan(values: dict[str, Any]) -> dict[str, float]:
    """The values that were given to `without_nan`; ValueError if one is no number."""
    if not all(
        value is None or (isinstance(value, int | float) and type(value) is not bool) for value in values.values()
    ):
        raise ValueError(OTHER_FORM)
    return {name: float("nan") if value is None else value for name, value in values.items()}


class Documents:
    """The documents of one storage.

    `damage` has the files that were damaged when they were last read, by name, with what is wrong with them. If
    `notes_newer`, documents of a newer format are noted in `newer` and count as missing, for callers that change
    nothing; otherwise reading or replacing one raises NewerFormat.
    """

    def __init__(self, storage: Storage, notes_newer: bool = False) -> None:
        self.storage, self._notes_newer = storage, notes_newer
        self.damage: dict[str, str] = {}
        self.newer: dict[str, NewerFormat] = {}

    def read(self, name: str, kind: type[Kind]) -> Kind | None:
        """The document; None if there is none, or if it is damaged, which is noted."""
        try:
            value = self.storage.read_as(name, verified)
            check_format(name, value, kind.FORMAT)
        except FileNotFoundError:
            return None
        except NewerFormat as error:
            self.note_newer(name, error)
            return None
        except ValueError as error:
            self.note_damage(name, error)
            return None
        try:
            document = kind.from_json(value)
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError, UserError):
            self.damage[name] = OTHER_FORM
            return None
        self.damage.pop(name, None)  # it was written anew
        return document

    def write(self, name: str, document: Document, sort_keys: bool = True) -> None:
        """Write a document; fields keep their order unless they are sorted. NewerFormat if it would replace one."""
        self.keep_newer(name, type(document))
        self.storage.write(name, with_checksum(document.to_json(), sort_keys))

    def write_new(self, name: str, document: Document) -> bool:
        """Write a document unless there is a file of that name, and say whether it was written."""
        return self.storage.write_new(name, with_checksum(document.to_json()))

    def keep_newer(self, name: str, kind: type[Document]) -> None:
        """NewerFormat if the document there has a newer format, so that it is neither replaced nor removed."""
        try:
            value = self.storage.read_as(name, verified)
        except (FileNotFoundError, ValueError):
            return
        try:
            check_format(name, value, kind.FORMAT)
        except ValueError:
            return

    def note_damage(self, name: str, error: Exception) -> None:
        """Remember what is wrong with a file."""
        self.damage[name] = str(error)

    def note_newer(self, name: str, error: NewerFormat) -> None:
        """Remember a document of a newer format, or raise the error."""
        if not self._notes_newer:
            raise error
        self.newer[name] = error
