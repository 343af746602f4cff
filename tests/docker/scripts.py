"""The scripts of `docker/`, which are no package's modules, as modules."""

import importlib.util
from pathlib import Path
from types import ModuleType

DOCKER = Path(__file__).parents[2] / "docker"


def script(name: str) -> ModuleType:
    """A script of `docker/` by its name without `.py`."""
    spec = importlib.util.spec_from_file_location(f"docker_{name}", DOCKER / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
