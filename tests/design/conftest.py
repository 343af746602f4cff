"""A fixture of all tests of designs."""

from pathlib import Path
from typing import Any

import pytest

from musiclab.design.design import Design
from musiclab.study import Study
from musiclab.study.options import design_of, parse_options


@pytest.fixture
def designed(song_folder: Path):
    """The design of a study of the given space and more, with the given options."""

    def made(space: Any, control: dict, *options: str, **more: Any) -> Design:
        study = Study(name="q", question="?", space=space, control=control, blocks=2, objective="frechet", **more)
        return design_of(study, parse_options("?", ["--data", f"midi:{song_folder}", *options]))

    return made
