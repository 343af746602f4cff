"""What a study lacks, in sentences: failed trials, blocks left out, samples that cannot be heard."""

from musiclab.analysis.answer import Answer
from musiclab.report.sentences.phrases import LARGEST_NAMED
from musiclab.wording import counted, listing

TRIAL_FAILED = "This trial failed."
TRIAL_UNFINISHED = "This trial has not finished."
SAMPLE_NEVER_MADE = "This trial has no such sample."
SAMPLE_GONE = "This sample is no longer in the storage."
SAMPLE_DAMAGED = "This sample is damaged."
SOUND_GONE = "Its sound is no longer in the storage."
REAL_MUSIC_ALONE = "There is no sample to compare it with."
REAL_MUSIC_DIFFERS = "The trials started from other music."
# Ends of "Real music is left out, because ...".
STARTS_DIFFER = "the variants cut songs into different windows, so their starts are not the same"
WINDOWS_GONE = "the windows of its songs are no longer in the storage"


def lacking(answer: Answer) -> list[str]:
    """What failed, and which blocks are left out of which comparisons; empty if nothing is missing."""
    sentences = []
    failed = [_share_failed(answer, name) for name, times in answer.failed.items() if times]
    if failed:
        sentences.append(f"Failed: {', '.join(failed)}.")
    variants_by_blocks: dict[tuple[int, ...], list[str]] = {}
    for name, comparison in answer.comparisons.items():
        if comparison.left_out and comparison.verdict != "not compared":
            variants_by_blocks.setdefault(comparison.left_out, []).append(name)
    if variants_by_blocks:
        phrases = [f"{_blocks(blocks)} for {listing(names)}" for blocks, names in variants_by_blocks.items()]
        sentences.append(f"Left out, because one of the pair has no value: {'; '.join(phrases)}.")
    return sentences


def _share_failed(answer: Answer, name: str) -> str:
    """How many of a variant's trials failed."""
    finished = max((interval.n for interval in answer.measures[name].values()), default=0)
    trials, failed = finished + answer.missing[name], answer.failed[name]
    return f"{'all' if failed == trials else f'{failed} of'} {counted(trials, 'trial')} of {name}"


def _blocks(blocks: tuple[int, ...]) -> str:
    """Blocks by number, or how many if they are many."""
    if len(blocks) > LARGEST_NAMED:
        return counted(len(blocks), "block")
    return f"{'block' if len(blocks) == 1 else 'blocks'} {listing(map(str, blocks))}"
