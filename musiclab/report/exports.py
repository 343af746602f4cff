"""A study's results for other programs: every trial as CSV, the answer as JSON and as a LaTeX table."""

import csv
import dataclasses
import io
import json
import math
from collections import Counter
from typing import Any

from musiclab.analysis.answer import Answer
from musiclab.analysis.intervals import Interval
from musiclab.analysis.listening import ListeningResults
from musiclab.analysis.preferences import Preferences
from musiclab.analysis.results import Results
from musiclab.analysis.search import SearchResults
from musiclab.design.trials import FORM, SYSTEM
from musiclab.report.sentences import describe
from musiclab.wording import counted

# Marks of the verdicts in a LaTeX table, explained in its note.
_MARKS = {"better": r"$\uparrow$", "worse": r"$\downarrow$", "equivalent": r"$\approx$"}
_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def results_csv(results: Results) -> str:
    """`trial_table` as CSV. Text that a spreadsheet would take for a formula begins with a quote."""
    text = io.StringIO()
    columns, rows = trial_table(results)
    csv.writer(text, lineterminator="\n").writerows([columns, *([_plain(value) for value in row] for row in rows)])
    return text.getvalue()


def search_csv(search: SearchResults) -> str:
    """Every proposal of a search as CSV: number, state, source, values, scores on the search's block, seconds, rungs.

    A field that does not apply is empty, and so is a score that is missing.
    """
    fields, objectives = list(search.space), search.objectives
    columns = ["number", "state", "source", "trial", *fields, *(objective.full_name for objective in objectives)]
    columns += ["seconds", *(f"rung_{rung}" for rung in range(1, len(search.rungs) + 1)), "confirmed", "reason"]
    confirmed = {each.number for each in search.confirmed}
    rows: list[list[Any]] = []
    for each in search.tried:
        rungs = [_number(value) for value in each.end.rungs] if each.end else []
        row: list[Any] = [each.number, each.state, each.proposal.source, each.proposal.key]
        row += [each.values.get(name) for name in fields]
        row += [_number(each.score(objective)) for objective in objectives]
        row += [each.seconds, *(rungs + [None] * len(search.rungs))[: len(search.rungs)]]
        row += [int(each.number in confirmed), each.end.reason if each.end else ""]
        rows.append(row)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *([_plain(value) for value in row] for row in rows)])
    return text.getvalue()


def trial_table(results: Results) -> tuple[list[str], list[list[Any]]]:
    """Columns, and one row a trial of the plan, finished or not: variant, fields, block, status, cost, measures.

    Measures have their full names, those of single tracks with a suffix. None is a missing value. There is a column for
    the form unless an earlier version of musiclab, which knew no forms, planned the study.
    """
    compared = dict.fromkeys(name for trial in results.trial_specs for name in trial.variant.values)
    fields = [name for name in compared if name not in (SYSTEM, FORM)]
    names = list(dict.fromkeys(name for record in results.records.values() for name in record.measures))
    knows_forms = any(trial.variant.form for trial in results.trial_specs)
    columns = ["study", "variant", SYSTEM, *([FORM] if knows_forms else []), *fields, "block", "seed", "trial"]
    columns += ["status", "failure", "seconds", "peak_memory_mib", *names]
    rows: list[list[Any]] = []
    for trial in results.trial_specs:
        record, run = results.records.get(trial.key), results.runs.get(trial.key)
        failure = results.failures.get(trial.key)
        status = "finished" if record else "failed" if failure else "missing"
        row: list[Any] = [results.plan.study, trial.variant.name, trial.variant.system]
        row += [trial.variant.form] if knows_forms else []
        row += [trial.variant.values.get(name, trial.variant.config.get(name)) for name in fields]
        row += [trial.block.index, trial.block.seed, trial.key, status, failure.reason if failure else ""]
        row += [run.wall_seconds if run else None, run.peak_memory_mib if run else None]
        row += [_number(record.measures.get(name)) if record else None for name in names]
        rows.append(row)
    return columns, rows


def results_json(results: Results) -> str:
    """The whole answer: sentences, criteria, each variant's intervals and comparison, baselines, effects, claims, plan.

    A missing value is null, and so are the bounds of an unbounded interval. Of a search it has what was confirmed, and
    of listening tests what was heard.
    """
    answer, plan = results.answer, results.plan
    variants = [
        {
            "name": name,
            "control": answer.controls[name],
            "measures": {full_name: _json(interval) for full_name, interval in intervals.items()},
            "judged": answer.scores[name],
            "comparison": _json(answer.comparisons.get(name)),
            "missing": answer.missing[name],
            "failed": answer.failed[name],
        }
        for name, intervals in answer.measures.items()
    ]
    whole = {
        "study": plan.study,
        "question": plan.question,
        "answer": describe(answer, results.search, results.listening),
        "objective": answer.objective.full_name,
        "unit": answer.objective.unit,
        "better": answer.objective.better,
        "margin": answer.criteria.margin,
        "sequential": answer.criteria.sequential,
        "blocks": plan.blocks,
        "variants": variants,
        "scale": answer.baselines,
        "effects": _json(answer.effects),
        "claims": _json(results.judgements),
        **({"search": _search(results.search)} if results.search else {}),
        **({"by_ear": _by_ear(results.listening)} if results.listening else {}),
        "plan": plan.to_summary(),
    }
    return json.dumps(_finite(whole), indent=1) + "\n"


def _search(search: SearchResults) -> dict[str, Any]:
    """What a search has come to, but without its proposals, which are in `search.csv`."""
    variants = [each for each in (search.control, *search.confirmed) if each]
    return {
        "over": search.is_over,
        "objectives": [objective.full_name for objective in search.objectives],
        "states": dict(search.states),
        "first": search.first and search.first.number,
        "winner": search.winner and search.winner.name,
        "confirmed": [
            _json(each) | {"overstated": {measure.full_name: each.overstated(measure) for measure in search.objectives}}
            for each in variants
        ],
        "front": search.front,
        "importance": search.importance,
        "cost": _json(search.cost),
    }


def _by_ear(listening: ListeningResults) -> dict[str, Any]:
    """What listeners say, by protocol, and measures beside ears; nothing tells one listener from another."""
    tests: dict[str, Any] = {}
    for protocol, found in listening.tests.items():
        heard = found.attendance
        who = {
            "simulated": heard.simulated,
            "listeners": len(heard.counted),
            "excluded": Counter(each.reason for each in heard.excluded),
            "answers": heard.answers,
            "repeats": heard.repeats,
            "consistency": heard.consistency,
        }
        strengths = found.strengths if isinstance(found, Preferences) else found.means
        tests[protocol] = who | {"strengths": _json(strengths), "comparisons": _json(found.comparisons)}
    return tests | {"measures": _json(listening.beside_ears)}


def table_tex(results: Results) -> str:
    """A booktabs table: each variant's objective with its interval, the difference to its control, p and a mark."""
    answer = results.answer
    subject = f"{_tex(answer.objective.title)} ({_tex(answer.objective.unit)}), {_tex(results.plan.study)}"
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        rf"\caption{{{subject}: mean and 95\,\% interval over blocks.}}",
        r"\begin{tabular}{lrrrc}",
        r"\toprule",
        r"variant & mean [95\,\%] & difference to control [95\,\%] & $p$ (Holm) & \\",
        r"\midrule",
        *(_tex_row(answer, name) for name in answer.measures),
        r"\bottomrule",
        r"\end{tabular}",
        rf"\par\footnotesize {_tex_note(answer)}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _tex_row(answer: Answer, name: str) -> str:
    value = answer.measures[name].get(answer.objective.full_name)
    compared = answer.comparisons.get(name)
    cells = [_tex(name), _tex_interval(value)]
    if compared:
        cells += [_tex_interval(compared.difference), _tex_p(compared.p_holm), _MARKS.get(compared.verdict, "")]
    else:
        cells += ["control", "", ""]
    return " & ".join(cells) + r" \\"


def _tex_p(p: float) -> str:
    if math.isnan(p):
        return "--"
    return f"{p:.3f}" if p >= 0.001 else "$<$.001"


def _tex_interval(interval: Interval | None) -> str:
    if interval is None or math.isnan(interval.mean):
        return "--"
    if math.isnan(interval.low) or math.isnan(interval.high):
        return _tex_number(interval.mean)
    bounds = f"{_tex_number(interval.low)}, {_tex_number(interval.high)}" if interval.is_bounded else "unbounded"
    return f"{_tex_number(interval.mean)} [{bounds}]"


def _tex_number(value: float) -> str:
    text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    mantissa, _, exponent = text.partition("e")
    return rf"${mantissa} \times 10^{{{int(exponent)}}}$" if exponent else f"${text}$"


def _tex_note(answer: Answer) -> str:
    test = "anytime-valid sign flips" if answer.criteria.sequential else "sign flips and Student's $t$, larger $p$"
    better, worse = _MARKS["better"], _MARKS["worse"]
    notes = [rf"{better} better and {worse} worse than the control ($p \le .05$, {test}, Holm)"]
    if answer.criteria.margin is not None:
        notes.append(rf"{_MARKS['equivalent']} equivalent within {answer.criteria.margin:g}")
    failed = {name: count for name, count in answer.failed.items() if count}
    notes += [f"{_tex(name)}: {counted(count, 'trial')} failed" for name, count in failed.items()]
    return "; ".join(notes) + "."


def _tex(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in " ".join(text.split()))


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    """A value for a spreadsheet: text that begins like a formula gets a quote before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _json(value: Any) -> Any:
    """Dataclasses as dictionaries, however deep."""
    if isinstance(value, list | tuple):
        return [_json(each) for each in value]
    if isinstance(value, dict):
        return {name: _json(each) for name, each in value.items()}
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def _finite(value: Any) -> Any:
    """NaN and infinity as null: JSON has neither."""
    if isinstance(value, dict):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
