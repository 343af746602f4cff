"""All that is said of a study's results, in order."""

from musiclab.analysis.answer import Answer
from musiclab.analysis.listening import ListeningResults
from musiclab.analysis.search import SearchResults
from musiclab.report.sentences.baselines import beside_baselines, distance_from_real
from musiclab.report.sentences.by_ear import judged_by_ear
from musiclab.report.sentences.effects import single_effects
from musiclab.report.sentences.missing import lacking
from musiclab.report.sentences.search import headline, searched


def describe(
    answer: Answer, search: SearchResults | None = None, listening: ListeningResults | None = None
) -> list[str]:
    """The answer in sentences: verdicts, a search, what listeners say, how far from real music all is, and so on."""
    return [
        headline(answer, search),
        *searched(answer, search),
        *judged_by_ear(listening),
        *distance_from_real(answer),
        *lacking(answer),
        *single_effects(answer),
        *beside_baselines(answer),
    ]
