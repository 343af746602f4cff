"""CPUs that a container leaves us."""

import os
from pathlib import Path

import pytest

from musiclab import resources


@pytest.mark.parametrize(
    ("texts", "count"),
    [(("max 100000\n",), 8), (("200000 100000\n",), 2), (("50000 100000\n",), 1), (("-1\n", "100000\n"), 8),
     (("300000\n", "100000\n"), 3), (("nonsense",), 8)],
)  # fmt: skip
def test_a_quota_counts(texts: tuple[str, ...], count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = []
    for number, text in enumerate(texts):
        (tmp_path / str(number)).write_text(text)
        files.append(str(tmp_path / str(number)))
    monkeypatch.setattr(resources, "_QUOTAS", (("/no/such/file",), tuple(files)))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert resources.available_cpus() == count
