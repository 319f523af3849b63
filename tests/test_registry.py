"""Components by name: what is wrong with their parameters is said in a sentence."""

from __future__ import annotations

import contextlib
import gc
import weakref

import pytest

from curate import registry
from curate.errors import InputError, UnknownNameError


def test_what_a_component_says_of_its_parameters_is_said_as_it_is() -> None:
    with pytest.raises(InputError) as error:
        registry.build("scorers", "min-k")
    assert str(error.value).startswith("min-k: give the model whose memory is in question")


def test_a_refusal_keeps_nobody_alive() -> None:
    class Held:
        pass

    held = Held()
    seen = weakref.ref(held)

    def ask(held: Held) -> None:
        with contextlib.suppress(InputError):
            registry.build("scorers", "combine", {"columns": ()})

    ask(held)
    del held
    gc.collect()
    assert seen() is None


def test_what_is_missing_or_of_another_type_is_named() -> None:
    with pytest.raises(InputError, match=r"^ches: parameter 'model' is needed, and not given$"):
        registry.build("scorers", "ches")
    with pytest.raises(InputError, match=r"top: parameter 'lowest': .* got 'often'"):
        registry.build("selectors", "top", {"by": "a", "lowest": "often"})


def test_one_name_does_where_several_are_meant() -> None:
    assert registry.build("scorers", "missing-labels", {"pred_probs": "probs"}).pred_probs == ("probs",)
    assert registry.build("scorers", "combine", {"columns": "clip_score"}).columns == ("clip_score",)
    with pytest.raises(InputError, match=r"parameter 'columns': .* got 'a,b'"):
        registry.build("scorers", "combine", {"columns": "a,b"})


def test_all_parameters_that_cannot_be_are_named() -> None:
    with pytest.raises(InputError) as caught:
        registry.build("scorers", "near-duplicate", {"distance": "far", "cosine": "near"})
    assert "parameter 'distance':" in str(caught.value)
    assert "; parameter 'cosine':" in str(caught.value)
    with pytest.raises(UnknownNameError, match=r"'distanc'\. Did you mean 'distance'.* Nor is there 'cosin'"):
        registry.build("scorers", "near-duplicate", {"distanc": 1, "cosin": 1})


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"cosine": float("nan")}, "near-duplicate: parameter 'cosine' is NaN, and a number is meant"),
        ({"cosine": "nan"}, "parameter 'cosine' is NaN"),
    ],
)
def test_what_is_no_number_is_refused(params: dict[str, object], match: str) -> None:
    with pytest.raises(InputError, match=match):
        registry.build("scorers", "near-duplicate", params)


def test_a_negative_seed_is_refused_before_anything_is_drawn() -> None:
    with pytest.raises(
        InputError, match=r"label-errors: parameter 'seed': whole numbers from 0 on .* got -1"
    ):
        registry.build("scorers", "label-errors", {"seed": -1})
