"""Tasks and their keys."""

from __future__ import annotations

import hashlib

import pytest

from curate.annotators.tasks import MARKS, make_task, shown_hash, task_key
from curate.errors import InputError


def test_a_key_is_a_cut_sha256_of_data_set_item_and_round() -> None:
    expected = hashlib.sha256(b'["set","a",2]').hexdigest()[:24]
    assert task_key("set", "a", 2) == expected
    assert len({task_key(d, i, r) for d in ("x", "y") for i in ("a", "b") for r in (1, 2)}) == 8
    assert task_key("x", "ab", 1) != task_key("xa", "b", 1)


def test_the_hash_follows_what_is_shown_and_not_where_it_lies() -> None:
    one = make_task("set", "a", 1, {"image": "x.png", "caption": "c"})
    served = make_task("set", "a", 1, {"image": "x.png", "caption": "c"}, served={"image": "/data/x.png"})
    other = make_task("set", "a", 1, {"image": "x.png", "caption": "C"})
    assert (one.key, one.hash) == (served.key, served.hash)
    assert served.data["image"] == "/data/x.png"
    assert other.key == one.key and other.hash != one.hash
    moved = make_task("set", "a", 1, {"image": "y.png"}, content={"image": "abc"})
    assert moved.hash == make_task("set", "a", 1, {"image": "x.png"}, content={"image": "abc"}).hash
    assert one.hash == shown_hash({"caption": "c", "image": "x.png"})


def test_a_task_as_json_has_its_marks_twice() -> None:
    task = make_task("set", "a", 3, {"text": "t"}, predictions=[{"model_version": "m", "result": []}])
    json = task.to_json()
    assert json["meta"] == {name: json["data"][name] for name in MARKS}
    assert json["data"]["cur_item"] == "a" and json["data"]["cur_round"] == 3
    assert json["predictions"] == [{"model_version": "m", "result": []}]


@pytest.mark.parametrize(
    ("shown", "round", "message"),
    [
        ({"cur_key": "x"}, 1, "'cur_key'"),
        ({"text": "t"}, 0, "counted from 1"),
        ({"text": float("nan")}, 1, "JSON"),
        ({"text": b"bytes"}, 1, "JSON"),
    ],
)
def test_what_cannot_be_a_task_is_refused(shown: dict[str, object], round: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_task("set", "a", round, shown)
