"""The results of a study for whoever works in Python: its answer in sentences, its tables, its page."""

import html
from collections.abc import Iterable
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from musiclab.analysis.answer import Answer
from musiclab.analysis.claims import ClaimVerdict
from musiclab.analysis.results import Results
from musiclab.errors import UserError
from musiclab.report.exports import trial_table
from musiclab.report.formatting import number
from musiclab.report.sentences import describe
from musiclab.storage.files import storage_at
from musiclab.study.options import DEFAULT_STORAGE, as_keywords
from musiclab.study.session import Outcome

if TYPE_CHECKING:
    import pandas as pd

# Columns of `frame` that hold text or whole numbers of every trial; all that follow `failure` are numbers or missing.
_LAST_TEXT_COLUMN = "failure"
_COMPARISON_COLUMNS = (
    "variant", "control", "mean", "control_mean", "difference", "low", "high", "p", "p_holm", "p_equivalent",
    "improvement", "smallest", "blocks", "verdict",
)  # fmt: skip
_SHOWN_COLUMNS = ("variant", "mean", "difference", "low", "high", "p_holm", "blocks", "verdict")


@dataclass(frozen=True)
class StudyAnswer:
    """The answer to a study's question; `str` of it is its sentences, one a line.

    Attributes:
        sentences: as the command line prints them: verdicts first, then what is missing, effects and baselines.
        verdicts: by variant, without controls: `better`, `worse`, `equivalent`, `no difference shown`, `underpowered`
            or `not compared`.
        statistics: the numbers behind them.
    """

    sentences: tuple[str, ...]
    verdicts: dict[str, str]
    statistics: Answer = field(repr=False, compare=False)  # NaN is not equal to itself

    def __str__(self) -> str:
        return "\n".join(self.sentences)


@dataclass(frozen=True)
class FailedTrial:
    """A trial that has no record because it failed when it was last tried.

    Attributes:
        variant: the name of its variant.
        block: the number of its block, from 0.
        reason: why, in one line.
        log: all that is known of it, such as a traceback.
    """

    variant: str
    block: int
    reason: str
    log: str = field(repr=False)


class StudyResults:
    """What a study has come to. A notebook shows it as the answer and a table of the comparisons.

    Attributes:
        study: the study's name.
        question: the study's question.
        answer: the answer in sentences, with verdicts and statistics.
        claims: the study's claims, judged: each has `claim`, `verdict` and `found`, the evidence.
        failures: the trials that failed.
        report: path or URI of `report.html`; None if it was not written.
        notes: sentences about the run: what could not be reused, where MLflow shows it, why there is no page.
    """

    def __init__(self, results: Results, report: str | None, notes: Iterable[str] = ()) -> None:
        self._results = results
        self.study: str = results.plan.study
        self.question: str = results.plan.question
        self.report = report
        self.notes = tuple(notes)
        comparisons = results.answer.comparisons
        self.answer = StudyAnswer(
            sentences=tuple(describe(results.answer, results.search, results.listening)),
            verdicts={variant: comparison.verdict for variant, comparison in comparisons.items()},
            statistics=results.answer,
        )
        self.claims: tuple[ClaimVerdict, ...] = tuple(results.judgements)
        self.failures = tuple(
            FailedTrial(trial.variant.name, trial.block.index, as_keywords(failure.reason), failure.log)
            for trial in results.trial_specs
            if (failure := results.failures.get(trial.key))
        )

    @classmethod
    def of_outcome(cls, outcome: Outcome) -> "StudyResults":
        """The results of a session that has just ended."""
        notes = [*outcome.notes, *([f"no report: {outcome.no_report}"] if outcome.no_report else []), outcome.tracking]
        notes += [f"Optuna: {outcome.dashboard}"] if outcome.dashboard else []
        return cls(outcome.results, outcome.report, map(as_keywords, filter(None, notes)))

    def frame(self) -> "pd.DataFrame":
        """A row a trial of the plan, finished or not, with the columns of `results.csv`.

        They are `study`, `variant`, `system`, the compared fields, `block`, `seed`, `trial` (its key), `status`
        (`finished`, `failed` or `missing`), `failure` (the reason), `seconds`, `peak_memory_mib`, and every measure by
        its full name. A number that is missing is NaN.
        """
        import pandas as pd  # takes half a second, which whoever only reads the answer does without

        columns, rows = trial_table(self._results)
        frame = pd.DataFrame(rows, columns=columns)
        numbers = columns[columns.index(_LAST_TEXT_COLUMN) + 1 :]
        return frame.astype(dict.fromkeys(numbers, float))

    def comparisons(self) -> "pd.DataFrame":
        """A row a comparison of a variant with its control, on the objective.

        `mean` and `control_mean` are over all blocks that each has. The rest is over the blocks that both have:
        `difference` with its 95 % interval from `low` to `high`, which are infinite if blocks are too few for any
        verdict, `p` and `p_holm` (corrected for all comparisons; the interval is not),
        `p_equivalent` (NaN without a margin), `improvement` (the probability that the variant does better on a block),
        `smallest` (the smallest difference that would have been detected), `blocks`, and the `verdict`. If the aim is
        to be like real music, means and differences are of the distance to its value.
        """
        import pandas as pd

        return pd.DataFrame(self._comparison_rows(), columns=list(_COMPARISON_COLUMNS))

    def _comparison_rows(self) -> list[list[Any]]:
        answer = self._results.answer
        return [
            [
                variant,
                answer.controls[variant],
                answer.scores[variant],
                answer.scores[answer.controls[variant]],
                comparison.difference.mean,
                comparison.difference.low,
                comparison.difference.high,
                comparison.p,
                comparison.p_holm,
                comparison.p_equivalent,
                comparison.improvement.mean,
                comparison.smallest,
                comparison.difference.n,
                comparison.verdict,
            ]
            for variant, comparison in answer.comparisons.items()
        ]

    def __repr__(self) -> str:
        return f"Results of {self.study}: {self.question}\n{self.answer}"

    def _repr_html_(self) -> str:
        """What a notebook shows: the question, the answer, the comparisons. Colours are the notebook's own."""
        paragraphs = [f"<p><strong>{_escaped(self.question)}</strong></p>"]
        paragraphs += [f"<p>{_escaped(sentence)}</p>" for sentence in self.answer.sentences]
        rows = [dict(zip(_COMPARISON_COLUMNS, row, strict=True)) for row in self._comparison_rows()]
        table = _html_table(_SHOWN_COLUMNS, [[row[name] for name in _SHOWN_COLUMNS] for row in rows])
        below = [f"Failed: {trial.variant}, block {trial.block}: {trial.reason}" for trial in self.failures]
        below += [f"Report: {self.report}"] if self.report else []
        paragraphs = [*paragraphs, table, *(f"<p>{_escaped(line)}</p>" for line in below)]
        if self.notes:
            notes = "<br>".join(_escaped(line) for note in self.notes for line in note.splitlines())
            paragraphs.append(f"<details><summary>About this run</summary>{notes}</details>")
        return f'<div class="musiclab-results">{"".join(paragraphs)}</div>'


def open_results(study: str, storage: str | PathLike[str] = DEFAULT_STORAGE) -> StudyResults:
    """The results of a study that has run, as its storage has them now; nothing is run or written.

    Args:
        study: the study's name. If it has several editions, the newest counts.
        storage: folder or URI of the storage.

    Raises:
        UserError: if there is no such storage, or no such study in it.
    """
    opened = storage_at(fspath(storage))
    if opened is None:
        raise UserError(f"{fspath(storage)!r} is no storage; give the folder or URI in which studies keep records.")
    results = Results.read(opened, study)
    page = f"{results.folder}/report.html"
    return StudyResults(results, opened.path(page) if opened.exists(page) else None)


def _html_table(columns: Iterable[str], rows: list[list[Any]]) -> str:
    """A table of text and numbers; nothing if it has no rows."""
    if not rows:
        return ""
    head = "".join(f"<th>{_escaped(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return _escaped(number(value))
    return _escaped(str(value))


def _escaped(text: str) -> str:
    return html.escape(text)
