"""Content hashes: equal for equal content, and for nothing else."""

import pytest

from musiclab.hashing import content_hash


def test_equal_values_give_equal_hashes_whatever_their_order() -> None:
    assert content_hash({"a": 1, "b": [1.5, None, "ü"]}) == content_hash({"b": [1.5, None, "ü"], "a": 1})
    assert content_hash([1, 2]) != content_hash([2, 1])
    assert content_hash((1, 2)) == content_hash([1, 2])


def test_nearly_equal_values_give_other_hashes() -> None:
    values = [1, 1.0, "1", True, None, [1], [[1]], {"1": 1}, 0.1 + 0.2, 0.3]
    assert len({content_hash(value) for value in values}) == len(values)


def test_hashes_stay_as_they_are_from_release_to_release() -> None:
    # Keys of finished trials: a change would run them all again.
    assert content_hash({"a": 1, "b": [1.5, None, "ü"]}) == "6edee93cbe7c80ec689d"
    assert len(content_hash(0)) == 20
    assert content_hash(0, 12) == content_hash(0)[:12]


def test_what_is_no_json_is_refused() -> None:
    for value in (float("nan"), float("inf"), {1, 2}, b"bytes"):
        with pytest.raises((ValueError, TypeError)):
            content_hash(value)
