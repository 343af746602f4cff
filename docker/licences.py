"""Lists what an image carries, under which licence, and where in the image the licence's text is."""

import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

_HEAD = """\
What this image carries, and under which licence. The texts are files of the image, named below each package.
musiclab itself is under Apache-2.0. TimGM6mb.sf2, the SoundFont in pretty_midi, is under GPL-2.0. LAME, compiled into
lameenc, is under the LGPL. The Bach chorales are in music21's corpus; their terms are in its corpus/license.txt.
"""
_NAMES = ("licen", "copying", "notice", "authors", "third_party", "thirdparty")
_DEBIAN = Path("/usr/share/doc")


def main() -> int:
    """Print the list; the exit code."""
    print(_HEAD)
    print("\n\n".join(sorted(map(described, metadata.distributions()), key=str.lower)))
    print("\nDebian's packages:\n")
    for file in sorted(_DEBIAN.glob("*/copyright")):
        print(f"  {file}")
    return 0


def described(package: metadata.Distribution) -> str:
    """A package with its version, its licence and the files of its texts."""
    about = package.metadata
    stated = about.get("License-Expression") or _classified(about.get_all("Classifier") or []) or about.get("License")
    first = " ".join((stated or "states no licence").splitlines()[:1])[:120]
    texts = sorted({*_texts(package)}) or ["its package has no file with the text"]
    return "\n".join([f"{about['Name']} {about['Version']}: {first}", *(f"  {text}" for text in texts)])


def _classified(classifiers: list[str]) -> str:
    licences = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")]
    return ", ".join(each for each in licences if each != "OSI Approved")


def _texts(package: metadata.Distribution) -> Iterator[str]:
    for file in package.files or ():
        is_text = file.suffix not in (".py", ".pyc", ".pyi", ".so", ".json", ".js", ".h", ".hpp")
        if is_text and any(name in file.name.lower() for name in _NAMES):
            yield str(Path(str(file.locate())).resolve())


if __name__ == "__main__":
    sys.exit(main())
