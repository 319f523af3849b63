"""How far up pieces must look for the lowest values of all: enough, and not much more."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curate.choosing import ceilings, places_to_ask


def test_places_by_hand() -> None:
    assert places_to_ask(np.array([8, 5, 1]), 2).tolist() == [[2, 4, 8], [2, 3, 5], [1, 1, 1]]
    assert places_to_ask(np.array([7]), 1).tolist() == [[7]]


@given(st.lists(st.lists(st.integers(0, 50), max_size=30), min_size=1, max_size=6), st.integers(1, 40))
def test_a_ceiling_has_enough_below_it_and_fewer_than_twice_as_many_and_ties(
    pieces: list[list[int]], wanted: int
) -> None:
    asked = np.array([wanted])
    places = places_to_ask(asked, len(pieces))
    heads = []
    for piece in pieces:
        values = np.sort(np.array(piece, float))
        padded = np.append(values, np.full(wanted, np.inf))
        heads.append(padded[places - 1])
    (ceiling,) = ceilings(heads, places, asked)
    every = np.concatenate([np.array(piece, float) for piece in pieces])
    if len(every) < wanted:
        assert ceiling >= every.max(initial=0)
        return
    assert (every <= ceiling).sum() >= wanted
    assert (every < ceiling).sum() < 3 * wanted


def test_a_group_that_lies_in_one_piece_is_cut_as_one_that_lies_in_all() -> None:
    rng, wanted = np.random.default_rng(0), np.array([400])
    values = rng.random(4000)
    places = places_to_ask(wanted, 8)
    spread = [np.sort(part)[places - 1] if len(part) >= 400 else None for part in np.split(values, 8)]
    assert all(one is not None for one in spread)
    alone = [np.sort(values)[places - 1], *[np.full(places.shape, np.inf)] * 7]
    for heads in (spread, alone):
        (ceiling,) = ceilings([one for one in heads if one is not None], places, wanted)
        assert 400 <= (values <= ceiling).sum() < 600
