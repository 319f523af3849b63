"""Other files of human ratings: TIFA, GenAI-Bench, RichHF, AVT; small ones of the same form, and the real ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.errors import InputError, SchemaError
from curate.formats.rated import (
    read_avt,
    read_dsg_answers,
    read_dsg_ratings,
    read_genai_bench,
    read_richhf,
    read_tifa,
)


def save(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_tifa(tmp_path: Path) -> None:
    entry = {
        "text_id": "coco_1",
        "image_path": "coco_1_sd.jpg",
        "text": "a cat",
        "human_scores": [4, 5],
        "human_avg": 4.5,
        "tifa_mplug-large": 0.5,
    }
    row = read_tifa(save(tmp_path / "t.json", {"coco_1_sd_v1": entry})).to_pylist()[0]
    assert row == {
        "id": "coco_1_sd_v1",
        "prompt_id": "coco_1",
        "prompt": "a cat",
        "image": "coco_1_sd.jpg",
        "generator": "sd_v1",
        "ratings": [4, 5],
        "score": 4.5,
        "tifa_mplug_large": 0.5,
    }


def test_genai_bench(tmp_path: Path) -> None:
    prompts = {"7": {"prompt": "two cups", "models": {"DALLE_3": [5, 4, 3], "SDXL": []}}}
    table = read_genai_bench(save(tmp_path / "g.json", prompts))
    assert table["id"].to_pylist() == ["7/DALLE_3", "7/SDXL"]
    assert table["score"].to_pylist() == [4, None]
    assert table["prompt_id"].to_pylist() == ["7", "7"]


def test_richhf(tmp_path: Path) -> None:
    entry = {
        "filename": "train/1.png",
        "misalignment_score": 0.75,
        "overall_score": 0.5,
        "prompt_misalignment_label": "1 0 1",
    }
    for text in (json.dumps(entry), json.dumps([entry])):
        row = read_richhf(save(tmp_path / "r.json", text)).to_pylist()[0]
        assert row["score"] == 0.75 and row["words"] == [1, 0, 1] and row["overall_score"] == 0.5
    empty = read_richhf(save(tmp_path / "r.json", [{**entry, "misalignment_score": None}]))
    assert empty["score"].to_pylist() == [None]


def test_marks_that_end_a_line_elsewhere_stay_in_a_text(tmp_path: Path) -> None:
    prompts = ["two\u2028cups", "a\x85cup"]
    lines = [
        json.dumps({"filename": f"{i}.png", "misalignment_score": 1, "prompt": p}, ensure_ascii=False)
        for i, p in enumerate(prompts)
    ]
    assert read_richhf(save(tmp_path / "r.jsonl", "\r\n".join(lines)))["prompt"].to_pylist() == prompts


def test_avt(tmp_path: Path) -> None:
    prompts = save(tmp_path / "p.csv", "ID,prompts,category\np1,a red car,Drawbench\n")
    head = "user_ID,stimuli_ID,stimuli_file,rating_type,rating,timestamp\n"
    rows = "".join(
        f"{u},9,./stimuli/glide/p1.png,range_{q},{u},now\n"
        for u in (1, 2)
        for q in ("realism", "prompt_matching")
    )
    ratings = save(tmp_path / "r.csv", head + rows)
    row = read_avt(ratings, prompts).to_pylist()[0]
    assert row["id"] == "glide/p1" and row["prompt"] == "a red car" and row["generator"] == "glide"
    assert row["ratings"] == [1, 2] and row["annotators"] == ["1", "2"]
    assert read_avt(ratings, prompts, "range_realism").num_rows == 1
    with pytest.raises(InputError, match="range_prompt_matching, range_realism"):
        read_avt(ratings, prompts, "range_beauty")
    with pytest.raises(SchemaError, match="no CSV"):
        read_avt(prompts, prompts)


def test_dsg(tmp_path: Path) -> None:
    head = "dsg_prompt_split,qg_model,t2i_model,item_id,question,question_id,dependency_id,answer\n"
    rows = 't,dsg,sd,t_0,A?,1,0,yes\nt,dsg,sd,t_0,B?,2,1,no\nt,dsg,sd,t_0,C?,3,"1,2,3,9",Yes\nt,dsg,dalle,t_0,A?,1,0,\n'
    first, second = read_dsg_answers(save(tmp_path / "a.csv", head + rows)).to_pylist()
    assert first["id"] == "t_0/sd" and first["right"] == [1, 0, 1]
    assert list(zip(first["children"], first["parents"], strict=True)) == [(1, 0), (2, 0), (2, 1)]
    assert second["right"] == [0] and second["children"] == []
    head = "dsg_prompt_split,t2i_model,item_id,source_id,worker_id,question,answer\n"
    rows = "t,sd,t_0,coco_1,w1,How?,3\nt,sd,t_0,coco_1,w2,How?,4\nt,sd,t_0,coco_1,w3,How?,\n"
    row = read_dsg_ratings(save(tmp_path / "r.csv", head + rows)).to_pylist()[0]
    assert row["id"] == "t_0/sd" and row["prompt_id"] == "coco_1" and row["score"] == 3.5
    assert row["ratings"] == [3, 4, None] and row["annotators"] == ["w1", "w2", "w3"]


def test_bad_files_are_named(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    with pytest.raises(InputError, match="cannot be read"):
        read_tifa(file)
    for content, message in (
        ("{", "no JSON"),
        ("[]", "holds a list"),
        ('{"a": {"text": "x"}}', "entry 'a' has no text_id, human_scores"),
        ('{"a": {"text_id": "a", "text": "x", "human_scores": 3}}', "a list of numbers"),
    ):
        with pytest.raises(InputError, match=message):
            read_tifa(save(file, content))
    with pytest.raises(SchemaError, match="models is no object"):
        read_genai_bench(save(file, {"1": {"prompt": "x", "models": [1]}}))
    with pytest.raises(InputError, match="neither"):
        read_richhf(save(file, "{\n"))


def test_the_real_files(data_dir: Path) -> None:
    folder = data_dir / "t2i_ratings"
    tifa = read_tifa(folder / "tifa" / "human_annotations_with_scores.json")
    assert tifa.num_rows == 800 and len(set(tifa["generator"].to_pylist())) == 5
    assert len(set(tifa["prompt_id"].to_pylist())) == 160 and tifa["score"].null_count == 0
    three_d = read_genai_bench(folder / "t2v_metrics" / "stanfordt23d.json")
    assert three_d.num_rows == 360 and all(len(r) == 3 for r in three_d["ratings"].to_pylist())
    videos = read_genai_bench(folder / "t2v_metrics" / "t2vscore_alignment_score.json")
    assert videos.num_rows - videos["score"].null_count == 2543
    likert = read_dsg_ratings(folder / "dsg" / "tifa160-likert-anns.csv")
    counts = [len(ratings) for ratings in likert["ratings"].to_pylist()]
    assert len(counts) == 800 and counts.count(5) == 796
    avt = data_dir / "avt_ai_images"
    pictures = read_avt(avt / "ratings_raw_2022_12_02.csv", avt / "prompts.csv")
    assert pictures.num_rows >= 130 and pictures["prompt"].null_count == 0
