"""Plans: what runs of studies are to do, each in the folder of its edition."""

from typing import Any

from musiclab.design.spec import is_folder_name
from musiclab.storage.documents import OTHER_FORM, Documents


class Plans:
    """The plans of one storage."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def get(self, folder: str) -> dict[str, Any] | None:
        """The plan in an edition's folder, `studies/<name>/<edition>`, or None."""
        plan = self._documents.read(f"{folder}/plan.json")
        try:
            # Keys become paths, which must not lead out of the storage, whoever has written the plan.
            if plan is None or all(is_folder_name(key) for cell in plan["cells"] for _, key in cell["stages"]):
                return plan
        except (LookupError, TypeError, ValueError):
            pass
        self._documents.damage[f"{folder}/plan.json"] = OTHER_FORM
        return None

    def put(self, folder: str, plan: dict[str, Any]) -> None:
        """Write the plan of an edition, as it stands now; fields keep their order, which variants are named by."""
        self._documents.write(f"{folder}/plan.json", plan, sort_keys=False)

    def of_study(self, study: str, edition: str = "") -> dict[str, dict[str, Any]]:
        """The plans of a study's editions, or of one of them, by their folder in the storage."""
        names = [edition] if edition else self._documents.storage.names(f"studies/{study}")
        folders = [f"studies/{study}/{name}" for name in names]
        return {folder: plan for folder in folders if (plan := self.get(folder))}
