"""What a study lacks, in sentences: failed trials, blocks left out, samples that cannot be heard."""

import math
from collections.abc import Iterable

from musiclab.analysis.answer import Answer
from musiclab.report.sentences.phrases import LARGEST_NAMED, named_or_counted
from musiclab.wording import counted, listing

TRIAL_FAILED = "This trial failed."
TRIAL_UNFINISHED = "This trial has not finished."
SAMPLE_NEVER_MADE = "This trial has no such sample."
SAMPLE_GONE = "This sample is no longer in the storage."
SAMPLE_DAMAGED = "This sample is damaged."
REAL_MUSIC_ALONE = "There is no sample to compare it with."
REAL_MUSIC_DIFFERS = "The trials started from other music."
# Ends of "Real music is left out, because ...".
STARTS_DIFFER = "the variants cut songs into different windows, so their starts are not the same"
WINDOWS_GONE = "the windows of its songs are no longer in the storage"


def lacking(answer: Answer) -> list[str]:
    """What failed, and which blocks are left out of which comparisons; empty if nothing is missing."""
    sentences = []
    failed = [name for name, times in answer.failed.items() if times]
    if len(failed) > LARGEST_NAMED:
        trials = counted(sum(answer.failed.values()), "trial")
        sentences.append(f"Failed: {trials}, of {len(failed)} of {len(answer.failed)} variants.")
    elif failed:
        sentences.append(f"Failed: {', '.join(_share_failed(answer, name) for name in failed)}.")
    variants_by_blocks: dict[tuple[int, ...], list[str]] = {}
    for name, comparison in answer.comparisons.items():
        if comparison.left_out and comparison.verdict != "not compared":
            variants_by_blocks.setdefault(comparison.left_out, []).append(name)
    if variants_by_blocks:
        others = len(answer.comparisons)
        phrases = [
            f"{_blocks(blocks)} for {named_or_counted(names, others)}" for blocks, names in variants_by_blocks.items()
        ]
        sentences.append(f"Left out, because one of the pair has no value: {'; '.join(phrases)}.")
    return sentences + _own_without_value(answer)


def damaged(files: Iterable[str]) -> list[str]:
    """Which files, given by name, cannot be read; empty if there are none."""
    names = sorted(files)
    if not names:
        return []
    shown = listing(names) if len(names) <= LARGEST_NAMED else f"{listing(names[:LARGEST_NAMED])} and others"
    return [f"Damaged and left out: {counted(len(names), 'file')} ({shown})."]


def _own_without_value(answer: Answer) -> list[str]:
    """Which of the measures that the study brings have no value, and of what; empty if all have.

    Trials of systems that lack what a measure needs do not count: their records do not have it.
    """
    sentences = []
    for measure in answer.criteria.own:
        measured = {name: of[measure.full_name] for name, of in answer.measures.items() if measure.full_name in of}
        trials = sum(_finished(answer, name) for name in measured)
        without = trials - sum(interval.n for interval in measured.values())
        of_what = [f"for {without} of {counted(trials, 'finished trial')}"] if without else []
        if trials and measure.better == "real" and math.isnan(answer.baselines.get(measure.full_name, math.nan)):
            of_what.append("for real music, to which it should be near")
        if of_what:
            sentences.append(f"{measure.place} gave no value (NaN) {listing(of_what)}.")
    return sentences


def _finished(answer: Answer, name: str) -> int:
    """How many of a variant's trials have finished."""
    return max((interval.n for interval in answer.measures[name].values()), default=0)


def _share_failed(answer: Answer, name: str) -> str:
    """How many of a variant's trials failed."""
    trials, failed = _finished(answer, name) + answer.missing[name], answer.failed[name]
    return f"{'all' if failed == trials else f'{failed} of'} {counted(trials, 'trial')} of {name}"


def _blocks(blocks: tuple[int, ...]) -> str:
    """Blocks by number, or how many if they are many."""
    if len(blocks) > LARGEST_NAMED:
        return counted(len(blocks), "block")
    return f"{'block' if len(blocks) == 1 else 'blocks'} {listing(map(str, blocks))}"
