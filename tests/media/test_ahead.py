"""Reading ahead: order, errors, how much is held, and that work goes on while the caller is busy."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import MediaError
from curate.media import read_ahead, read_batches


def double(value: int) -> int:
    """Twice the value; multiples of three cannot be read."""
    if value % 3 == 0:
        raise MediaError("missing", f"no {value}")
    return 2 * value


@pytest.mark.parametrize("lead", [1, 3, 100])
def test_the_order_is_kept(lead: int) -> None:
    def slow_first(value: int) -> int:
        time.sleep(0.02 if value == 0 else 0)
        return value

    assert list(read_ahead(slow_first, range(10), lead)) == list(range(10))


def test_an_error_of_media_takes_the_place_of_its_value() -> None:
    found = list(read_ahead(double, [1, 3, 4], 2))
    assert found[0] == 2 and found[2] == 8
    assert isinstance(found[1], MediaError) and found[1].code == "missing"


def test_any_other_error_is_raised_in_its_turn() -> None:
    def fail(value: int) -> int:
        if value == 2:
            raise ValueError("two")
        return value

    reader = read_ahead(fail, range(5), 4)
    assert [next(reader), next(reader)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(reader)


def test_no_more_than_the_lead_is_begun_before_the_caller_asks_again() -> None:
    begun: list[int] = []
    reader = read_ahead(lambda value: begun.append(value), range(100), 5)
    next(reader)
    time.sleep(0.05)
    assert len(begun) == 5
    reader.close()
    assert len(begun) == 5


def test_the_next_are_read_while_the_caller_works() -> None:
    busy = threading.Event()
    read_meanwhile = threading.Event()

    def read(value: int) -> int:
        if value == 3:
            busy.wait(5)
            read_meanwhile.set()
        return value

    reader = read_ahead(read, range(8), 4)
    next(reader)
    busy.set()
    assert read_meanwhile.wait(5)  # the caller has not asked for it
    assert list(reader) == list(range(1, 8))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 7))
def test_batches_are_full_and_lose_nothing(values: list[int], size: int) -> None:
    batches = list(read_batches(double, values, size))
    assert [len(rows) for rows, _, _ in batches[:-1]] == [size] * (len(batches) - 1)
    answers = {row: one for rows, found, _ in batches for row, one in zip(rows, found, strict=True)}
    refused = {row for _, _, errors in batches for row in errors}
    assert answers == {row: 2 * value for row, value in enumerate(values) if value % 3}
    assert refused == {row for row, value in enumerate(values) if value % 3 == 0}
