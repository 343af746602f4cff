"""Refuses an image whose torch is not what the variant is for. It runs before torch's own libraries are installed."""

import runpy
import sys
from importlib import metadata


def refusal(variant: str, version: str, cuda: str | None) -> str:
    """Why the image cannot be built, in a sentence; empty if it can.

    Args:
        variant: `cpu` or `cuda`.
        version: torch's.
        cuda: the version of CUDA that torch is built for, if for any.
    """
    if variant not in ("cpu", "cuda"):
        return f"VARIANT must be cpu or cuda; got {variant!r}."
    if variant == "cuda" and cuda is None:
        return (
            f"VARIANT=cuda needs a torch that is built for CUDA; got {version}. Give an index that has one by "
            "TORCH_INDEX, or leave that empty."
        )
    return ""


def main() -> int:
    """Check the installed torch; the exit code."""
    file = next(file for file in metadata.files("torch") or () if str(file) == "torch/version.py")
    built = runpy.run_path(str(file.locate()))
    if sentence := refusal(sys.argv[1], built["__version__"], built["cuda"]):
        print(f"error: {sentence}", file=sys.stderr)
        return 2
    if sys.argv[1] == "cpu" and built["cuda"]:
        print(f"torch {built['__version__']} is built for CUDA {built['cuda']}: TORCH_INDEX may name a smaller one.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
