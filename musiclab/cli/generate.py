"""`musiclab generate`: new music from what studies have trained."""

import argparse
from pathlib import Path
from typing import Any

from musiclab.design.spec import is_folder_name
from musiclab.study.options import DEFAULT_STORAGE, assignment, number
from musiclab.systems import SYSTEMS


def add(subjects: Any) -> None:
    """Add the subcommand to the parser of `musiclab`."""
    doc = "continue start windows with a trained system, as MIDI, picture and sound"
    command = subjects.add_parser("generate", help=doc, description=doc, allow_abbrev=False)
    add = command.add_argument
    add("system", metavar="SYSTEM", help=f"one of {', '.join(SYSTEMS)}, or path/file.py:Name of your own")
    source = command.add_mutually_exclusive_group()
    source.add_argument(
        "--study",
        type=_name,
        metavar="NAME",
        help="take the best variant of this study (default: of the newest that has SYSTEM)",
    )
    source.add_argument("--trial", type=_name, metavar="KEY", help="take this trial")
    add(
        "--start",
        metavar="FILE",
        help="MIDI file whose last window is continued (default: the trial's own start windows)",
    )
    add(
        "--style",
        metavar="TARGETS",
        help="follow song:TITLE, artist:NAME or a MIDI file; join several by ' + ', weight one by *2 (vae_nn only)",
    )
    add("--samples", type=number(int, 1, 1000), default=4, metavar="N", help="how many to make (default: 4)")
    add("--windows", type=number(int, 1, 1000), metavar="N", help="windows after each start (default: the trial's)")
    add(
        "--set",
        action="append",
        default=[],
        type=assignment,
        metavar="FIELD=VALUE",
        help="change a field of the trial's stage generate, such as temperature=0.8; repeatable",
    )
    add("--seed", type=number(int, 0), metavar="N", help="seed of the random draws (default: the trial's own)")
    add("--out", type=Path, default=Path("generated"), metavar="FOLDER", help="where the files go (default: generated)")
    add(
        "--storage",
        default=DEFAULT_STORAGE,
        metavar="PLACE",
        help="where studies keep their records (default: ~/musiclab)",
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Generate, and print which files were written; the exit code."""
    from musiclab.generation import GenerateRequest, generate  # torch takes seconds to import, and --help does without

    request = GenerateRequest(
        storage=options.storage,
        system=options.system,
        study=options.study,
        trial=options.trial,
        start=options.start,
        style=options.style,
        samples=options.samples,
        windows=options.windows,
        fields=dict(options.set),
        seed=options.seed,
        out=options.out,
    )
    generated = generate(request)
    without = f", without its target {generated.lost_target!r}" if generated.lost_target else ""
    print(f"{generated.origin}{without}")
    if generated.shortfall:
        print(f"  {len(generated.files)} instead of {options.samples}: {generated.shortfall}")
    for files in generated.files:
        first, *others = files.values()
        print(f"  {first}, {', '.join(file.suffix for file in others)}")
    return 0


def _name(text: str) -> str:
    """An argparse type: the name of a study or a trial, which names a folder of the storage."""
    if not is_folder_name(text):
        raise argparse.ArgumentTypeError(f"must be a name of letters, digits, '_', '-', '.'; got {text!r}")
    return text
