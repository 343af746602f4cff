"""A listening test in words, as `musiclab listen --plan` prints it."""

from musiclab.dashboards.listening_test.described import described
from tests.support.made_listening import made_test


def test_if_nothing_is_compared_no_number_of_listeners_is_asked_for() -> None:
    """As in a study of two systems without a control."""
    *_, session, last = described(made_test(controls={"v0": "v0", "v1": "v1"}))
    assert session.startswith("a session: ")
    assert last == "nothing is compared, because each variant is its own control"
