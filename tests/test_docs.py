"""Documentation is held to the code: nothing undocumented, nothing gone, links lead somewhere, snippets run."""

import contextlib
import importlib.util
import inspect
import io
import os
import re
import runpy
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

from musiclab.measures.registry import MEASURES, find_measure
from musiclab.study import Study
from musiclab.systems import SYSTEMS, find_system

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {
    str(file.relative_to(ROOT)): file.read_text(encoding="utf-8")
    for file in sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
}
COMMANDS = ("data build", "data describe", "generate", "report", "search", "watch", "listen", "sync", "doctor", "clean")
# Options of other programs that the pages name.
OTHERS = {
    "--head", "--address", "--block", "--port", "--node-ip-address", "--num-cpus", "--num-gpus",
    "--object-store-memory", "--min-nodes", "--working-dir", "--nodes", "--ntasks-per-node", "--cpus-per-task",
    "--exclusive", "--time", "--backend-store-uri", "--pictures", "--allowed-hosts", "--build-arg", "--rm",
    "--read-only", "--tmpfs", "--cap-drop", "--version", "--create-namespace",
}  # fmt: skip


# What the code has.


@pytest.fixture(scope="module")
def options_by_command() -> dict[str, set[str]]:
    """The options of every command, without `--help`; "" is the command line of studies."""
    study = {"": _listed_options([str(ROOT / "studies" / "latent_dim.py")])}
    return study | {command: _listed_options(["musiclab", *command.split()]) for command in COMMANDS}


def _listed_options(command: list[str]) -> set[str]:
    return set(re.findall(r"(?m)^  (?:-\w, )?(--[a-z-]+)", _help(command))) - {"--help"}


def _help(command: list[str]) -> str:
    """What `--help` of a study's file or of the `musiclab` command prints."""
    program, *arguments = command
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setattr(sys, "argv", [program, *arguments, "--help"])
        patch.setenv("COLUMNS", "120")
        if program == "musiclab":
            with pytest.raises(SystemExit, match="0"):
                runpy.run_module("musiclab", run_name="__main__")
        else:
            runpy.run_path(program, run_name="__main__")
    return printed.getvalue()


# What the pages have.


@dataclass(frozen=True)
class Table:
    """A Markdown table: its heading's text, and the code in the first cell of each row."""

    heading: str
    first_codes: list[str]


@cache
def _tables(page: str) -> list[Table]:
    tables, heading, codes = [], "", None
    for line in [*_prose(PAGES[page]).splitlines(), ""]:
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if line.startswith("|"):
            if codes is None:
                codes = []
            codes += re.findall(r"`([^`]+)`", line.split(" | ")[0])
        elif codes is not None:
            tables.append(Table(heading, codes))
            codes = None
    return tables


def _first_codes(page: str, heading: str, start: str = "") -> list[str]:
    """The code in the first cells of all tables under a heading, as far as it starts with `start`."""
    return [
        code for table in _tables(page) if table.heading == heading for code in table.first_codes
        if code.startswith(start)
    ]  # fmt: skip


def _prose(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"(?ms)^```.*?^```$", "", text)


@dataclass(frozen=True)
class Snippet:
    """A fenced block: its language, its text, and what the comment above it says (`run`, `file: NAME` or nothing)."""

    language: str
    text: str
    mark: str


def _snippets(page: str) -> list[Snippet]:
    found = re.findall(r"(?ms)^(?:<!-- ([^\n]*) -->\n)?```(\w*)\n(.*?)^```$", PAGES[page])
    return [Snippet(language, text, mark) for mark, language, text in found]


def _slugs(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```$", "", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", _prose(text)))


# Nothing undocumented, nothing documented that is gone.


def test_the_options_of_studies_are_those_documented(options_by_command: dict[str, set[str]]) -> None:
    documented = [code.split()[0] for code in _first_codes("docs/studies.md", "Options", "--")]
    assert sorted(documented) == sorted(options_by_command[""])


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_of_a_command_are_those_documented(command: str, options_by_command: dict[str, set[str]]) -> None:
    documented = [code.split()[0] for code in _first_codes("docs/commands.md", command.split()[0], "--")]
    assert sorted(documented) == sorted(options_by_command[command])


def test_the_commands_are_those_documented() -> None:
    documented = _first_codes("docs/commands.md", "The `musiclab` command", "musiclab ")
    assert [code.removeprefix("musiclab ") for code in documented] == list(COMMANDS)
    subjects = re.findall(r"(?m)^    (\w+) ", _help(["musiclab"]))
    assert subjects == list(dict.fromkeys(command.split()[0] for command in COMMANDS))
    assert re.findall(r"(?m)^    (\w+) ", _help(["musiclab", "data"])) == ["build", "describe"]


@pytest.mark.parametrize("page", PAGES)
def test_every_option_that_a_page_names_is_there(page: str, options_by_command: dict[str, set[str]]) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGES[page]))
    assert named <= set().union(*options_by_command.values()) | OTHERS | {"--help"}


def test_the_fields_of_a_study_are_those_documented() -> None:
    documented = _first_codes("docs/studies.md", "What a study says")
    assert sorted(documented) == sorted(inspect.signature(Study).parameters)


def test_the_systems_and_studies_are_those_documented() -> None:
    assert _first_codes("docs/systems.md", "Systems")[: len(SYSTEMS)] == list(SYSTEMS)
    files = sorted(file.name for file in (ROOT / "studies").glob("*.py"))
    assert sorted(_first_codes("docs/studies.md", "The studies that are here")) == files


@pytest.mark.parametrize("page", PAGES)
def test_every_field_and_measure_that_a_page_names_is_there(page: str) -> None:
    configs = [find_system(name).config for name in SYSTEMS]
    for field in re.findall(r"--set (\w+)=", PAGES[page]):
        assert any(hasattr(config, field) for config in configs) or field == "FIELD"
    for measure in re.findall(r"`((?:music|set|latent|next|tokens|style)/[a-z_0-9]+)", PAGES[page]):
        find_measure(measure)


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    named = re.findall(r"`((?:musiclab|studies|benchmarks|tests|docs)/[\w./-]*)`", PAGES[page])
    own = {snippet.mark.removeprefix("file: ") for snippet in _snippets(page)}
    built = ("docs/_build", "docs/_generated")
    gone = [name for name in named if not (ROOT / name).exists() and name not in own and not name.startswith(built)]
    # What has become something else is told of in the changelog alone.
    assert page == "CHANGELOG.md" or gone == []


@pytest.mark.parametrize("page", PAGES)
def test_every_target_of_make_that_a_page_names_is_there(page: str) -> None:
    targets = re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", PAGES[page], re.M)) <= set(targets)


def test_every_measure_has_its_formula_and_every_field_its_line() -> None:
    fragments = _fragments()
    measures, systems = fragments.measures(), fragments.systems()
    formulas = re.split(r"(?m)^#### ", measures)[1:]
    for measure in MEASURES:
        assert measures.count(f"| `{measure.full_name}` |") == 1
        (formula,) = [text for text in formulas if f"`{measure.name}`" in text.splitlines()[0]]
        assert len(formula.split()) > 10, measure.full_name
    assert fragments.FORMULAS.keys() <= {measure.name for measure in MEASURES}
    for name in SYSTEMS:
        for field in inspect.signature(find_system(name).config).parameters:
            assert f"| `{field}` |" in systems, f"{name}: {field}"


def test_docstrings_become_markdown() -> None:
    docstring = (
        "A * b.\n\nMore:\n    `x`: one\n        two;\n    y: three.\n\nArgs:\n    a: no.\n\n"
        "Returns:\n    All of `a*`.\n\nSource: A_b."
    )
    assert _fragments().docstring_to_markdown(docstring) == (
        "A \\* b.\n\nMore:\n\n- `x`: one two;\n- y: three.\n\n**Returns:** All of `a*`.\n\nSource: A\\_b."
    )


def _fragments() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fragments", DOCS / "fragments.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Links.


def test_the_readme_is_short() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for link in _links(PAGES[page]):
        path, _, anchor = link.partition("#")
        if urlsplit(link).scheme in ("http", "https"):
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in _slugs(target.read_text(encoding="utf-8")), link


def test_every_picture_is_shown() -> None:
    shown = {Path(link).name for text in PAGES.values() for link in _links(text)}
    assert {file.name for file in DOCS.glob("*.png")} <= shown


class _Page(HTMLParser):
    """What an HTML page links to, and what may be linked to in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name in ("href", "src"):
                self.links.append(value)
            elif value and name == "id":
                self.ids.add(value)


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_its_links_hold(tmp_path: Path) -> None:
    for package in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(package, reason=f"{package}, which builds the pages, is not installed")
    docs, site = tmp_path / "docs", tmp_path / "site"
    # Beside the sources that it includes: files of the root, and the package that its tables are made from.
    shutil.copytree(DOCS, docs, ignore=shutil.ignore_patterns("_build", "_generated"))
    for file in ROOT.glob("*.md"):
        shutil.copy(file, tmp_path)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(docs), str(site)]
    build = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert build.returncode == 0, build.stderr
    pages = {file: _Page(file.read_text(encoding="utf-8")) for file in site.glob("*.html")}
    assert {file.stem for file in pages} >= {file.stem for file in DOCS.glob("*.md")}
    for file, page in pages.items():
        for link in page.links:
            url = urlsplit(link)
            if url.scheme in ("http", "https", "data"):
                continue
            target = (file.parent / unquote(url.path)).resolve() if url.path else file
            assert target.exists(), f"{file.name}: {link}"
            if url.fragment and target in pages:
                assert unquote(url.fragment) in pages[target].ids, f"{file.name}: {link}"


# Snippets.


@pytest.mark.parametrize("page", PAGES)
def test_python_snippets_can_be_compiled(page: str) -> None:
    for snippet in _snippets(page):
        if snippet.language == "python":
            compile(snippet.text, page, "exec")


def test_marks_of_snippets_are_known() -> None:
    for page, text in PAGES.items():
        marked = [snippet for snippet in _snippets(page) if snippet.mark]
        assert len(marked) == len(re.findall(r"(?m)^<!-- ", text)), page
        assert all(re.fullmatch(r"run|file: [\w/]+\.py", snippet.mark) for snippet in marked), page


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(snippet.mark for snippet in _snippets(page))])
def test_snippets_run(page: str, tmp_path: Path, song_folder: Path) -> None:
    """Files are written, shell runs as it stands, and then all Python of a page in one process."""
    shutil.copytree(ROOT / "studies", tmp_path / "studies", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "my_songs").symlink_to(song_folder)
    environment = os.environ | {
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    commands = []
    snippets = _snippets(page)
    for snippet in snippets:
        if snippet.mark.startswith("file: "):
            name = snippet.mark.removeprefix("file: ")
            (tmp_path / name).write_text(snippet.text, encoding="utf-8")
            commands.append(["python", name, "--help"])
        elif snippet.mark and snippet.language == "sh":
            commands.append(["bash", "-euo", "pipefail", "-c", snippet.text])
    if python := [snippet.text for snippet in snippets if snippet.mark == "run" and snippet.language == "python"]:
        commands.append(["python", "-c", "\n".join(python)])
    assert commands
    for command in commands:
        run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, f"{command}\n{run.stdout}\n{run.stderr}"
        assert run.stdout or command[0] == "python", command


def test_a_study_in_python_takes_ten_lines() -> None:
    first = next(snippet for snippet in _snippets("docs/python.md") if snippet.mark == "run")
    lines = [line for line in first.text.splitlines() if line]
    assert len(lines) <= 10
    assert all(len(line) <= 120 for line in lines)


def test_every_page_is_in_the_index() -> None:
    entries = re.findall(r"(?m)^([a-z]+(?:-[a-z]+)*)$", PAGES["docs/index.md"])
    assert sorted(entries) == sorted(file.stem for file in DOCS.glob("*.md") if file.stem != "index")
