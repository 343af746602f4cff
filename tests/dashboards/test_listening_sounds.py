"""The sounds of a listening test: if one cannot be made, only sessions that lack some stop."""

from typing import Any

import numpy as np
import pytest

from musiclab.dashboards.listening_test.fixed import FixedTest, Heard
from musiclab.dashboards.listening_test.sounds import Sounds, SoundsFailed
from musiclab.design.listening import Place
from musiclab.errors import UserError
from tests.support.made_listening import made_plan, made_test

PLACE = Place(0, 1)


class _Excerpts:
    """Excerpts of which the continuations by the second variant are gone."""

    def start(self, place: Place) -> np.ndarray:
        return np.zeros((5, 4, 128), bool)

    def continuation(self, place: Place, condition: int) -> np.ndarray:
        if condition == 1:
            raise UserError("The sample of v1 is gone.")
        return self.start(place)

    def sound(self, roll: np.ndarray) -> bytes:
        return b"sound"


def test_a_sound_that_cannot_be_made_spares_sessions_whose_sounds_are_all_made() -> None:
    nothing: Any = None
    excerpts: Any = _Excerpts()
    test = FixedTest(made_plan(made_test(places=(PLACE,))), nothing, excerpts)
    sounds, made = Sounds(test), [Heard(PLACE), Heard(PLACE, 0)]
    sounds.start()
    sounds.wait(made)
    with pytest.raises(SoundsFailed, match=r"^The sample of v1 is gone\.$"):
        sounds.wait([*made, Heard(PLACE, 1)])
    assert sounds.lacking(made) == 0
