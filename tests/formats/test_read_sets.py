"""Several labels of an item: lists, texts, columns of yes and no, COCO, and what is no set of labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from formats_reading import read, write
from PIL import Image

from curate.errors import SchemaError, UnknownNameError
from curate.formats import open_source


def picture(path: Path) -> None:
    """A small image file, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)


def rows_of(source: Any, **options: Any) -> list[Any]:
    """The labels of the rows that were taken."""
    rows, rejected = read(source, **options)
    assert not rejected
    return [row["labels"] for row in rows]


def test_lists_are_sets_and_an_empty_one_is_one(tmp_path: Path) -> None:
    table = {"text": ["a", "b", "c"], "labels": [["cat", "dog"], [], ["dog", "cat", "dog"]]}
    expected = [["cat", "dog"], [], ["dog", "cat"]]
    assert rows_of(table) == expected
    assert rows_of(pa.table(table)) == expected
    lines = [json.dumps(dict(zip(table, row, strict=True))) for row in zip(*table.values(), strict=True)]
    assert rows_of(write(tmp_path / "x.jsonl", "\n".join(lines).encode())) == expected


def test_the_column_is_a_list_of_strings_whatever_the_source_has() -> None:
    numbers = {"text": ["a"], "labels": pa.array([[3, 1]], pa.large_list(pa.int8()))}
    batch = next(open_source(pa.table(numbers), "label").batches())
    assert batch.table.schema.field("labels").type == pa.list_(pa.string())
    assert batch.table["labels"].to_pylist() == [["3", "1"]]
    assert rows_of({"text": ["a"], "tags": [["x"]]}, columns={"labels": "tags"}) == [["x"]]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("cat|dog", ["cat", "dog"]),
        ("cat; a black dog ;", ["cat", "a black dog"]),
        ('["tench, Tinca tinca", "cat|dog"]', ["tench, Tinca tinca", "cat|dog"]),
        ("['cat', 'dog']", ["cat", "dog"]),
        ("[]", []),
        ("a7", ["a7"]),
        ("[1, 2]", ["1", "2"]),
    ],
)
def test_a_text_is_a_json_list_or_is_cut_at_bars_and_semicolons(
    tmp_path: Path, text: str, labels: list[str]
) -> None:
    assert rows_of(pa.table({"text": ["a"], "labels": [text]})) == [labels]
    quoted = text.replace('"', '""')
    assert rows_of(write(tmp_path / "x.csv", f'text,labels\na,"{quoted}"\n'.encode())) == [labels]


def test_what_is_no_set_is_rejected_row_by_row() -> None:
    given = [["cat", None], ["cat", ""], None, ["dog"]]
    rows, rejected = read({"text": list("abcd"), "labels": given})
    assert [row["labels"] for row in rows] == [["dog"]]
    assert [(r["row"], r["code"]) for r in rejected] == [
        (0, "type-labels"),
        (1, "type-labels"),
        (2, "missing-label"),
    ]
    assert "has a null among its labels" in rejected[0]["reason"]
    assert "has an empty text among its labels" in rejected[1]["reason"]
    texts = ["cat, dog", "[cat", " ", '{"cat": 1}', '["a", ["b"]]', '["a", null]']
    rows, rejected = read(pa.table({"text": list("abcdef"), "labels": texts}))
    assert not rows
    assert [(r["row"], r["code"]) for r in rejected] == [
        (0, "type-labels"), (1, "type-labels"), (2, "missing-label"), (3, "type-labels"), (4, "type-labels"),
        (5, "type-labels"),
    ]  # fmt: skip
    assert "Separate labels by | or ;" in rejected[0]["reason"]


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (pa.array([1, 2]), r"holds int64.*columns={\"label\": \"labels\"}"),
        (pa.array([[0, 1, 1], [1, 0, 0]]), r"twice, as \[0, 1, 1\].*columns={\"labels\": \"cat, dog\"}"),
        (pa.array([[True], [False]]), r"holds list<.*bool>.*yes and no"),
        (pa.array([[0.5], [1.0]]), "holds list<.*double>"),
        (pa.array([[["a"]], [["b"]]]), "lists of texts are meant"),
    ],
)
def test_a_column_that_holds_something_else_is_refused(labels: pa.Array, says: str) -> None:
    with pytest.raises(SchemaError, match=says):
        read(pa.table({"text": ["a", "b"], "labels": labels}))


def test_several_labels_where_one_is_meant() -> None:
    with pytest.raises(SchemaError, match=r'one text, but holds list<.*columns={"labels": "label"}'):
        read(pa.table({"text": ["a"], "label": [["x", "y"]]}))
    with pytest.raises(
        SchemaError, match=r'no column label or labels.*Did you mean columns={"labels": "tags"}'
    ):
        read(pa.table({"text": ["a"], "tags": [["x", "y"]]}))


def test_columns_of_yes_and_no(tmp_path: Path) -> None:
    csv = write(tmp_path / "x.csv", b"text,is_cat,is_dog,size\na,1,0,3\nb,1,1,4\nc,0,0,5\n")
    rows, rejected = read(csv, columns={"labels": "is_*"})
    assert [row["labels"] for row in rows] == [["cat"], ["cat", "dog"], []] and not rejected
    assert "is_cat" not in rows[0] and rows[0]["size"] == 3
    table = {"text": ["a", "b", "c"], "cat": [True, False, None], "big dog": ["yes", "No", "1"]}
    rows, rejected = read(table, columns={"labels": "cat, big dog"})
    assert [row["labels"] for row in rows] == [["cat", "big dog"], []]
    assert [(r["row"], r["code"]) for r in rejected] == [(2, "type-labels")]
    assert "'cat' is None, neither 0 nor 1" in rejected[0]["reason"]
    rows, rejected = read({"text": ["a"], "n_cat": [3]}, columns={"labels": "n_*"})
    assert not rows and "'n_cat' is '3', neither 0 nor 1" in rejected[0]["reason"]
    with pytest.raises(UnknownNameError, match="is_bird"):
        read(csv, columns={"labels": "is_cat, is_bird"})
    with pytest.raises(SchemaError, match="both stand for the label 'cat'"):
        read({"text": ["a"], "a_cat": [1], "b_cat": [1]}, columns={"labels": "a_*, b_*"})


def test_rows_with_one_label_and_rows_with_several() -> None:
    table = {
        "text": list("abcd"),
        "label": ["x", None, "y", None],
        "labels": [None, ["x", "x", "y"], ["a", "a"], None],
    }
    rows, rejected = read(pa.table(table))
    assert [(row["label"], row["labels"]) for row in rows] == [
        ("x", None),
        (None, ["x", "y"]),
        ("y", ["a", "a"]),
    ]
    assert [(r["row"], r["code"]) for r in rejected] == [(3, "missing-label")]
    assert rejected[0]["reason"] == "label and labels: empty, and items of this kind need one of them"


def test_texts_beside_a_label_are_sets_where_they_are_asked_for(tmp_path: Path) -> None:
    file = write(tmp_path / "x.csv", b"text,label,labels\na,x,\nb,,y|z\n")
    rows, rejected = read(file)
    assert [row["label"] for row in rows] == ["x"]
    assert 'columns={"labels": "labels"}' in rejected[0]["reason"]
    rows, rejected = read(file, columns={"labels": "labels"})
    assert [(row["label"], row["labels"]) for row in rows] == [
        ("x", None),
        (None, ["y", "z"]),
    ] and not rejected


@pytest.mark.parametrize(
    "labels", [["a;b", None], [[1, 1], None], [7, 8], [["a", None], ["b", "b"]], [None, None]]
)
def test_beside_a_label_the_column_stays_the_users_own(labels: list[Any]) -> None:
    rows, rejected = read(pa.table({"text": ["a", "b"], "label": ["x", "y"], "labels": labels}))
    assert [row["labels"] for row in rows] == labels and not rejected


def test_numbers_in_text_files_stay_what_they_were(tmp_path: Path) -> None:
    beside = write(tmp_path / "x.csv", b"text,label,labels\na,x,1\nb,y,2\n")
    assert [row["labels"] for row in read(beside)[0]] == [1, 2]  # the user's own, as it always was
    alone = write(tmp_path / "y.csv", b"text,labels\na,1\nb,2\n")
    with pytest.raises(SchemaError, match=r'holds int64.*columns={"label": "labels"}'):
        read(alone)
    assert rows_of(alone, columns={"labels": "labels"}) == [["1"], ["2"]]


def test_ids_are_made_of_the_item_and_not_of_its_labels() -> None:
    from curate.formats.normalise import finish
    from curate.kinds import kind

    def ids(**columns: Any) -> list[str]:
        batch = next(open_source(pa.table({"text": ["a"], **columns}), "label").batches())
        found: list[str] = finish(batch.table, kind("label"))["id"].to_pylist()
        return found

    assert ids(labels=[["x"]]) == ids(labels=[["x", "y"]]) != ids(label=["x"])
    # as they were before `labels` was a column of the kind
    assert ids(label=["x"], labels=[["a"]]) == ids(label=["x"]) == ["24688dc2d90320d8ea211007a0cb432e"]


def coco(folder: Path, lines: int | None) -> Path:
    """A COCO file of three pictures: two labels, none, one that is there twice."""
    document = {
        "info": {"year": 2026},
        "images": [
            {"id": 9, "file_name": "a.png"},
            {"id": 4, "file_name": "b.png"},
            {"id": 5, "file_name": "c.png"},
        ],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 18},
            {"id": 2, "image_id": 9, "category_id": 3},
            {"id": 3, "image_id": 5, "category_id": 3},
            {"id": 4, "image_id": 5, "category_id": 3},
            {"id": 5, "image_id": 77, "category_id": 3},
        ],
        "categories": [{"id": 3, "name": "car"}, {"id": 18, "name": "dog"}],
    }
    return write(folder / "instances.json", json.dumps(document, indent=lines).encode())


@pytest.mark.parametrize("lines", [None, 1])
def test_coco_annotations_are_sets_of_labels(tmp_path: Path, lines: int | None) -> None:
    for name in ("a.png", "b.png", "c.png"):
        picture(tmp_path / "images" / name)
    file = coco(tmp_path, lines)
    rows, rejected = read(file)
    assert [(row["id"], row["labels"]) for row in rows] == [("9", ["car", "dog"]), ("4", []), ("5", ["car"])]
    assert rows[0]["image"] == str(tmp_path / "a.png") and not rejected
    rows, rejected = read(tmp_path / "images", texts=str(file))
    assert [row["labels"] for row in rows] == [["car", "dog"], [], ["car"]] and not rejected
    assert rows[0]["image"] == str(tmp_path / "images" / "a.png")


@pytest.mark.parametrize(
    "broken",
    [
        {"images": [{"file_name": "a.png"}]},
        {"categories": [{"id": 3}]},
        {"annotations": [{"category_id": 3}]},
        {"images": [3]},
    ],
)
def test_coco_that_is_not_whole_is_refused(tmp_path: Path, broken: dict[str, Any]) -> None:
    document = json.loads(coco(tmp_path, None).read_text()) | broken
    with pytest.raises(SchemaError, match=r"is none of COCO's .*: images have id and file_name"):
        read(write(tmp_path / "x.json", json.dumps(document).encode()))


def test_coco_captions_and_lines_that_only_begin_like_coco(tmp_path: Path) -> None:
    captions = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"id": 8, "image_id": 1}],
        "categories": [],
    }
    with pytest.raises(SchemaError, match="annotation 8 has the category None"):
        read(write(tmp_path / "captions.json", json.dumps(captions).encode()))
    lines = write(
        tmp_path / "x.jsonl",
        b'{"info": "a", "text": "a", "label": "x"}\n{"info": "b", "text": "b", "label": "y"}\n',
    )
    rows, _ = read(lines)
    assert [row["label"] for row in rows] == ["x", "y"]
    one = write(tmp_path / "one.jsonl", b'{"info": "a", "text": "a", "label": "x"}\n')
    assert [row["label"] for row in read(one)[0]] == ["x"]


def test_a_folder_with_a_table_of_labels(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        picture(tmp_path / name)
    write(tmp_path / "metadata.csv", b"file_name,labels\na.png,1|3\nb.png,3\n")
    assert rows_of(tmp_path) == [["1", "3"], ["3"]]


def test_sidecars_with_lists(tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png")
        write(tmp_path / f"{name}.json", json.dumps({"labels": ["x", name]}).encode())
    assert rows_of(tmp_path) == [["x", "a"], ["x", "b"]]


def test_a_folder_of_folders_gives_no_label_where_sets_are_asked_for(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "a.png")
    write(tmp_path / "metadata.jsonl", b'{"file_name": "train/a.png", "labels": ["x", "y"]}\n')
    rows, _ = read(tmp_path, columns={"labels": "labels"})
    assert rows[0]["labels"] == ["x", "y"] and "label" not in rows[0]
    assert read(tmp_path)[0][0]["label"] == "train"  # as it always was


def test_class_numbers_of_datasets_become_names() -> None:
    datasets = pytest.importorskip("datasets", reason="extra hf not installed")
    names = datasets.Sequence(datasets.ClassLabel(names=["cat", "dog"]))
    features = datasets.Features({"text": datasets.Value("string"), "labels": names})
    made = datasets.Dataset.from_dict(
        {"text": ["a", "b", "c"], "labels": [[0, 1], [], [1]]}, features=features
    )
    assert rows_of(made) == [["cat", "dog"], [], ["dog"]]
    both = made.add_column("label", ["x", "y", "z"])
    assert rows_of(both) == [[0, 1], [], [1]]  # the user's own, as it always was
