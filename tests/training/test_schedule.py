"""Learning rates that change from step to step."""

from musiclab.training.schedule import warm_cosine


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [warm_cosine(0.5, step, 100) for step in range(100)]
    assert rates[0] == 0.05
    assert max(rates) == rates[9] == 0.5
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.001
