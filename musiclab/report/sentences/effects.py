"""The effects of single fields in sentences: main effects, interactions, disagreements, aliases, trends."""

from musiclab.analysis.answer import Answer
from musiclab.analysis.effects import Component, Effect, Interaction, Trend
from musiclab.analysis.sequential import blocks_needed_anytime
from musiclab.analysis.statistics import ALPHA, blocks_needed
from musiclab.report.sentences.phrases import LARGEST_NAMED, objective_phrase, p_phrase, signed
from musiclab.wording import counted


def single_effects(answer: Answer) -> list[str]:
    """What factors do: a sentence for each one's main effect, then interactions, disagreements, aliases and trends."""
    effects = answer.effects
    return [
        *_main_effects(answer),
        *_interactions(answer),
        *(_disagreement(answer, component) for component in effects.disagreements),
        *confounded(effects.aliases),
        *(_trend(answer, trend) for trend in effects.trends if trend.correlation.n),
    ]


def confounded(aliases: dict[str, list[str]]) -> list[str]:
    """Which effects a fraction cannot tell apart; empty if it can tell all that it is asked for."""
    groups = [" and ".join([first, *others]) for first, others in aliases.items()]
    return [f"This fraction cannot tell apart: {'; '.join(groups)}."] if groups else []


def _main_effects(answer: Answer) -> list[str]:
    if answer.effects.main and not any(effect.difference.n for effect in answer.effects.main):
        objective = answer.objective.name
        return [f"No field can be judged by itself, because no block has a value of {objective} for every variant."]
    effects_by_field: dict[str, list[Effect]] = {}
    for effect in answer.effects.main:
        effects_by_field.setdefault(effect.field, []).append(effect)
    return [
        f"{field}, averaged over the other fields: {'; '.join(_main_effect(answer, effect) for effect in effects)}."
        for field, effects in effects_by_field.items()
    ]


def _main_effect(answer: Answer, effect: Effect) -> str:
    """`1 instead of 0 lowers frechet (-0.5 [-0.6, -0.4], p = 0.002)`."""
    change = f"{effect.value} instead of {effect.control}"
    if not effect.difference.n:
        objective = answer.objective.name
        return f"{change} cannot be judged, because no block has a value of {objective} for every variant"
    direction = "raises" if effect.difference.mean > 0 else "lowers"
    verb = direction if effect.p_holm <= ALPHA else "is not shown to change"
    return f"{change} {verb} {objective_phrase(answer)} ({signed(effect.difference)}, {p_phrase(effect.p_holm)})"


def _interactions(answer: Answer) -> list[str]:
    """The interactions that are shown, strongest first, if they are few; then how many more there are."""
    interactions = answer.effects.interactions
    if not any(interaction.difference.n for interaction in interactions):
        return []
    shown = sorted(
        (interaction for interaction in interactions if interaction.p_holm <= ALPHA),
        key=lambda interaction: interaction.p_holm,
    )
    sentences = [_interaction(answer, interaction) for interaction in shown[:LARGEST_NAMED]]
    if len(shown) > LARGEST_NAMED:
        sentences.append(f"Also shown: {counted(len(shown) - LARGEST_NAMED, 'more interaction')} of two fields.")
    if len(shown) < len(interactions):
        sentences.append(_not_shown(answer, len(interactions), len(shown)))
    return sentences


def _interaction(answer: Answer, interaction: Interaction) -> str:
    field, other_field = interaction.fields
    value, other_value = interaction.values
    _, other_control = interaction.controls
    direction = "higher" if interaction.difference.mean > 0 else "lower"
    return (
        f"The effect of {field}={value} on {objective_phrase(answer)} is {direction} with {other_field}={other_value} "
        f"than with {other_field}={other_control} ({signed(interaction.difference)}, {p_phrase(interaction.p_holm)})."
    )


def _not_shown(answer: Answer, interactions: int, shown: int) -> str:
    """How many interactions are not shown, and whether the blocks could have shown any."""
    rest = interactions - shown
    if not shown:
        text = f"No interaction of two fields is shown (of {rest})."
    elif rest == 1:
        text = "The other interaction of two fields is not shown."
    else:
        text = f"The other {rest} interactions of two fields are not shown."
    blocks = max(interaction.difference.n for interaction in answer.effects.interactions)
    needed = (blocks_needed_anytime if answer.criteria.sequential else blocks_needed)(interactions)
    too_few = f" {counted(blocks, 'block')} cannot show any; at least {needed} are needed."
    return text + too_few if blocks < needed else text


def _disagreement(answer: Answer, component: Component) -> str:
    main = component.main
    return (
        f"Leave-one-out and add-one-in would disagree on {main.field}: the effect of {main.value} instead of "
        f"{main.control} on {objective_phrase(answer)} is {_effect(component.add_one_in)} if {main.field} alone is "
        f"changed, {_effect(component.leave_one_out)} if all other fields are changed too, and {_effect(main)} on "
        f"average."
    )


def _effect(effect: Effect) -> str:
    return f"{signed(effect.difference)} ({p_phrase(effect.p_holm)})"


def _trend(answer: Answer, trend: Trend) -> str:
    """Whether the objective rises or falls with a numeric field."""
    direction = "rises" if trend.correlation.mean > 0 else "falls"
    verb = direction if trend.p_holm <= ALPHA else "is not shown to rise or fall"
    return (
        f"As {trend.field} grows, {objective_phrase(answer)} {verb}: rank correlation {signed(trend.correlation)}, "
        f"{p_phrase(trend.p_holm)}; slope {signed(trend.slope)} for each 1 of {trend.field}."
    )
