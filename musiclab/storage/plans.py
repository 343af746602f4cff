"""Plans: what the runs of studies will do, each in the folder of its edition."""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

from musiclab.design.claims import Claim
from musiclab.design.criteria import Criteria
from musiclab.design.spec import is_folder_name
from musiclab.design.trials import TrialSpec
from musiclab.fields import Fields
from musiclab.measures.registry import Measure, described, find_measure, own_measure
from musiclab.storage.documents import FORMAT, Documents


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """The plan of a run of a study, written before anything runs (`plan.json`).

    Attributes:
        study: the study's name.
        question: what it asks, for people.
        edition: the name of what makes its trials comparable.
        base: the fields that all variants share, with `data` and `seed`.
        design: the kind of the space and, for a fraction, the effects that it confounds.
        controls: the variant that each one is compared with, by name.
        objective: full name of the measure that decides.
        measures: those that the study brings; readers know them from here, and need no code.
        margin: differences of at most this count as none; None if the study states no margin.
        sequential: whether the number of blocks depends on the results.
        claims: the article's statements that the study tests.
        scale: which sizes the systems started from, `demo` or `article`.
        form: which form all systems started from; empty if forms are compared.
        blocks: how many there are so far.
        trial_specs: every variant on every block; `trials` in the file.
        began: when the run began, in seconds since 1970; it tells which plan is the newest.
        songs: fingerprint of the songs.
        code: the identity of each stage's code, by the stage's name.
        command: the words of the command line, without passwords.
        tracking: the MLflow address that the user named, without a password; empty for the storage's own.
        environment: versions, platform and commit, by name.
        extra: fields that this version does not know.
    """

    FORMAT: ClassVar[int] = 1

    study: str
    question: str
    edition: str
    base: dict[str, Any] = field(default_factory=dict)
    design: dict[str, Any] = field(default_factory=dict)
    controls: dict[str, str]
    objective: str
    measures: tuple[Measure, ...] = ()
    margin: float | None = None
    sequential: bool = False
    claims: tuple[Claim, ...] = ()
    scale: str = "demo"
    form: str = ""
    blocks: int
    trial_specs: tuple[TrialSpec, ...]
    began: float
    songs: str = ""
    code: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    tracking: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def criteria(self) -> Criteria:
        """How the study is judged; UserError if there is no such measure any more."""
        objective = find_measure(self.objective, self.measures)
        return Criteria(objective, self.controls, self.margin, self.sequential, self.measures)

    @property
    def objectives(self) -> list[Measure]:
        """The measure that decides and, of a search, those searched for beside it; UserError if one is not known."""
        return [find_measure(name, self.measures) for name in (self.objective, *self.design.get("also", ()))]

    @property
    def is_search(self) -> bool:
        """Whether its space is a search, so that proposals stand beside it."""
        return self.design.get("kind") == "search"

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """See `Document`."""
        fields = Fields(value)
        if fields.take_or(FORMAT, int, 0) == 0:
            fields.rename("cells", "trials")
        trials = tuple(map(TrialSpec.from_json, fields.take("trials", list)))
        # Keys become paths, and a path in a foreign plan must not lead out of the storage.
        if not all(is_folder_name(key) for trial in trials for key in trial.stages.values()):
            raise ValueError("a stage's key must be a folder's name")
        return cls(
            study=fields.take("study", str),
            question=fields.take_or("question", str, ""),
            edition=fields.take("edition", str),
            base=fields.table("base", object, {}),
            design=fields.table("design", object, {}),
            controls=fields.table("controls", str),
            objective=fields.take("objective", str),
            measures=tuple(map(own_measure, fields.sequence("measures", dict, ()))),
            margin=fields.take_or("margin", float, None),
            sequential=fields.take_or("sequential", bool, False),
            claims=tuple(map(Claim.from_json, fields.take_or("claims", list, []))),
            scale=fields.take_or("scale", str, "demo"),
            form=fields.take_or("form", str, ""),
            blocks=fields.take("blocks", int),
            trial_specs=trials,
            began=fields.take("began", float),
            songs=fields.take_or("songs", str, ""),
            code=fields.table("code", str, {}),
            command=fields.sequence("command", str, ()),
            tracking=fields.take_or("tracking", str, ""),
            environment=fields.table("environment", str, {}),
            extra=fields.rest,
        )

    def to_json(self) -> dict[str, Any]:
        """See `Document`."""
        return self.to_summary() | {
            "claims": [asdict(claim) for claim in self.claims],
            "trials": [trial.to_json() for trial in self.trial_specs],
        }

    def to_summary(self) -> dict[str, Any]:
        """The plan for JSON, but without its trials and claims."""
        return {
            FORMAT: self.FORMAT,
            "study": self.study,
            "question": self.question,
            "edition": self.edition,
            "base": self.base,
            "design": self.design,
            "controls": self.controls,
            "objective": self.objective,
            "measures": list(map(described, self.measures)),
            "margin": self.margin,
            "sequential": self.sequential,
            "scale": self.scale,
            "form": self.form,
            "blocks": self.blocks,
            "began": self.began,
            "songs": self.songs,
            "code": self.code,
            "command": list(self.command),
            "tracking": self.tracking,
            "environment": self.environment,
        } | self.extra


class Plans:
    """The plans of one storage."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def get(self, folder: str) -> StudyPlan | None:
        """The plan in an edition's folder, `studies/<name>/<edition>`; None if there is none or it is damaged.

        NewerFormat if a newer version wrote it.
        """
        return self._documents.read(f"{folder}/plan.json", StudyPlan)

    def put(self, folder: str, plan: StudyPlan) -> None:
        """Write the plan of an edition, as it stands now; fields keep their order, which variants are named by.

        NewerFormat if it would replace a plan that a newer version wrote.
        """
        self._documents.write(f"{folder}/plan.json", plan, sort_keys=False)

    def of_study(self, study: str, edition: str = "") -> dict[str, StudyPlan]:
        """The plans of a study's editions, or of one of them, by their folder in the storage.

        NewerFormat if a newer version wrote one of them, because it may be the newest.
        """
        names = [edition] if edition else self._documents.storage.names(f"studies/{study}")
        folders = [f"studies/{study}/{name}" for name in names]
        return {folder: plan for folder in folders if (plan := self.get(folder))}
