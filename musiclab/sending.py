"""How code of users travels to other processes: as the text that its keys are made of, so that what was hashed runs."""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import ExecutionLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from musiclab.errors import UserError
from musiclab.user_code import code_of, importing
from musiclab.user_errors import why_failed
from musiclab.user_files import SourceText


class Sent:
    """A class or function of a user's that can be pickled and sent to any process; no process needs its files.

    The other process imports the modules behind it from their text, whatever lies on its disk. Installed packages must
    be installed there too.

    Args:
        thing: the class or function.

    Raises:
        UserError: it has no code that could be sent, see `code_of`.
    """

    def __init__(self, thing: Any) -> None:
        code = code_of(thing)
        self._thing: Any = thing
        self._module, self._place, self._sources = code.module, code.place, code.sources

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_thing": None}

    def to_json(self) -> dict[str, Any]:
        """What another process needs."""
        sources = {name: [str(source.path), source.text] for name, source in self._sources.items()}
        return {"module": self._module, "place": self._place, "sources": sources}

    @classmethod
    def of_json(cls, values: dict[str, Any]) -> "Sent":
        """What `to_json` gave in another process."""
        sent = object.__new__(cls)
        sent._thing, sent._module, sent._place = None, values["module"], values["place"]
        sent._sources = {name: SourceText(Path(path), text) for name, (path, text) in values["sources"].items()}
        return sent

    def load(self) -> Any:
        """The class or function. Raises whatever the user's code raises while it is imported."""
        if self._thing is None:
            _SENT.add(self._sources)
            try:
                with importing():
                    thing: Any = importlib.import_module(self._module)
            except SystemExit as error:
                raise UserError(f"{self._module} cannot be imported: {why_failed(error)}.") from error
            for part in self._place.split("."):
                if not hasattr(thing, part):
                    raise UserError(
                        f"{self._module}: {self._place} must be defined whenever its file is imported, not only where "
                        "it runs as a script."
                    )
                thing = getattr(thing, part)
            self._thing = thing
        return self._thing


class _SentModules(MetaPathFinder, ExecutionLoader):
    """Imports modules from texts that were sent, before Python looks for files."""

    def __init__(self) -> None:
        self._sources: dict[str, SourceText] = {}

    def add(self, sources: dict[str, SourceText]) -> None:
        """Import these modules from their text from now on; those that were imported from another text are dropped."""
        if any(name in sys.modules and self._sources.get(name) != source for name, source in sources.items()):
            for name in sources:
                sys.modules.pop(name, None)
        self._sources |= sources
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in self._sources:
            folders = [str(self._sources[fullname].path.parent)] if self.is_package(fullname) else None
            file = self._sources[fullname].path
            return spec_from_file_location(fullname, file, loader=self, submodule_search_locations=folders)
        if any(name.startswith(f"{fullname}.") for name in self._sources):
            return ModuleSpec(fullname, None, is_package=True)  # a folder without `__init__.py`
        return None

    def is_package(self, fullname: str) -> bool:
        return self._sources[fullname].path.name == "__init__.py"

    def get_source(self, fullname: str) -> str:
        return self._sources[fullname].text

    def get_filename(self, fullname: str) -> str:
        return str(self._sources[fullname].path)


_SENT = _SentModules()
