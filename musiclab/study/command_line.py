"""The command line of a study: what it prints, and with which code it exits."""

import sys
from collections.abc import Sequence

from musiclab.analysis.answer import best, undecided
from musiclab.design.spec import StudySpec
from musiclab.process.terminal import speller
from musiclab.report.sentences import describe
from musiclab.report.text_table import search_table, table
from musiclab.storage.records import FAILURE_LOG
from musiclab.study import session
from musiclab.study.options import RunOptions
from musiclab.study.session import Outcome


def run_command(spec: StudySpec, options: RunOptions, command: Sequence[str] = ()) -> int:
    """Run or plan a study, and print what it comes to; the exit code.

    `command` is the command line of the run, for its plan; empty if there is none.

    Raises:
        UserError: if anything cannot be right, or if the storage fails.
    """
    if options.plan:
        print(session.plan(spec, options))
        return 0
    outcome = session.run(spec, options, tell=print, command=command)
    _print(outcome)
    is_whole = not outcome.left and len(outcome.run.finished) == len(outcome.run.trial_specs)
    return outcome.signal or (0 if is_whole else 1)


def _print(outcome: Outcome) -> None:
    study_run, results = outcome.run, outcome.results
    storage = results.storage
    spell = speller(sys.stdout)
    tables = [table(results.answer, spell), search_table(results.answer, results.search, spell)]
    print("", *filter(None, tables), *describe(results.answer, results.search, results.listening), "", sep="\n\n")
    for trial in study_run.trial_specs:
        if trial.key in study_run.failed:
            log = storage.path(f"trials/{trial.key}/{FAILURE_LOG}")
            reason = study_run.failed[trial.key]
            print(f"failed: {trial.variant.name}, block {trial.block.index}: {reason} (log: {log})")
    if study_run.design.adding and study_run.blocks == study_run.design.most and undecided(results.answer.comparisons):
        print(f"--max-blocks {study_run.blocks} is reached; with a larger one the same command goes on from here")
    print(f"records: {storage.path('trials')}")
    if audible := _trial_of_the_best(outcome):
        print(f"listen: {storage.path(f'trials/{audible}/samples/start-1.mp3')}")
    print(f"report: {outcome.report}" if outcome.report else f"no report: {outcome.no_report}")
    print(outcome.tracking)
    if outcome.dashboard:
        print(f"Optuna: {outcome.dashboard}")
    if outcome.left:
        print(f"Stopped: {outcome.left}; the same command goes on from here.")


def _trial_of_the_best(outcome: Outcome) -> str | None:
    """The key of a finished trial of the variant with the best mean."""
    leader = best(outcome.results.answer)
    trials = (trial for trial in outcome.results.trial_specs if trial.variant.name == leader)
    return next((trial.key for trial in trials if trial.key in outcome.run.finished), None)
