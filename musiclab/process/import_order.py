"""The order of imports: a study file called like a library, `random.py` or `ray.py`, does not stand in for it."""

import os
import sys

# The modules of pyproject.toml's dependencies. A test keeps the list complete.
REQUIRED = {
    "PIL", "choix", "cmaes", "jinja2", "lameenc", "matplotlib", "miditok", "mlflow", "music21", "muspy", "numpy",
    "optuna", "pandas", "pretty_midi", "pyarrow", "pyloudnorm", "pypianoroll", "ray", "safetensors", "scipy",
    "starlette", "symusic", "threadpoolctl", "torch", "tqdm", "uvicorn",
}  # fmt: skip


def put_libraries_first() -> None:
    """Search the folders that hold a file called like a library after all others.

    Python searches the script's folder first, and Ray's workers search it and the working directory first. A file there
    that is called like a library is imported in its place, by every library that wants it.
    """
    standard = os.path.dirname(os.__file__)  # noqa: PTH120 - pathlib would be imported before the order is right
    if standard not in sys.path:
        return
    for folder in sys.path[: sys.path.index(standard)]:
        if names := _names_of_libraries(folder):
            sys.path.remove(folder)
            sys.path.append(folder)
            _replace_imported(folder, names)


def _names_of_libraries(folder: str) -> set[str]:
    """The libraries that files in the folder are called like."""
    try:
        files = os.listdir(folder or os.curdir)  # noqa: PTH208
    except OSError:  # not a folder, such as the standard library in a zip file
        return set()
    stems = {file.removesuffix(".py") for file in files if file.endswith(".py")}
    return stems & (sys.stdlib_module_names | REQUIRED)


def _replace_imported(folder: str, names: set[str]) -> None:
    """Import the libraries whose place a file of the folder has taken already."""
    for name in names:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and os.path.dirname(os.path.abspath(file)) == os.path.abspath(folder):  # noqa: PTH100, PTH120
            del sys.modules[name]
            __import__(name)
