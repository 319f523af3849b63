"""Recipes: read safely, refused with the step, the key and the nearest known one."""

from __future__ import annotations

import pytest

from curate.errors import RecipeError
from curate.recipe import parse_recipe, read_recipe
from curate.recipe.model import STEPS
from curate.recipe.reader import build_recipe

FULL = """
store: pets.curate
seed: 7
steps:
  - import: photos/
    kind: image-text
  - score: clip-score
    with: {model: ViT-B-32, pretrained: laion2b_s34b_b79k}
  - score: near-duplicate
  - keep: clip_score > 0.2 and not near_duplicate
  - select: facility-location
    budget: 10%
    as: core
  - annotate: label-studio
    when: clip_score between 0.18 and 0.22
  - export: out/
    format: webdataset
    selection: core
"""


def test_reads_every_verb_of_the_design():
    recipe = parse_recipe(FULL)
    assert [step.verb for step in recipe.steps] == [
        "import",
        "score",
        "score",
        "keep",
        "select",
        "annotate",
        "export",
    ]
    assert recipe.seed == 7
    assert recipe.steps[4].budget == "10%"
    assert recipe.steps[4].name == "core"
    assert recipe.steps[1].params == {"model": "ViT-B-32", "pretrained": "laion2b_s34b_b79k"}


def test_plain_values_read_back_to_the_same_recipe():
    import yaml

    recipe = parse_recipe(FULL)
    assert parse_recipe(yaml.safe_dump(recipe.plain())) == recipe


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("store: a\nsteps: [{scroe: x}]", "Did you mean 'score'"),
        ("store: a\nsteps: [{score: x, whith: {}}]", "Did you mean 'with'"),
        ("store: a\nsteps: [{score: x, keep: y}]", "exactly one of"),
        ("store: a\nstesp: []\nsteps: [{score: x}]", "Did you mean 'steps'"),
        ("steps: [{score: x}]", "'store' is missing"),
        ("store: a\nsteps: []", "at least one step"),
        ("store: a\nsteps: [{import: x}]", "'kind' is missing"),
        ("store: a\nsteps: [{export: x, format: parq}]", "'parquet', 'jsonl'"),
        ("store: a\nsteps: [{keep: x, as: 'Not A Name'}]", "step 1 (keep)"),
        ("store: a\nsteps: [{keep: x, as: a b}]", "'as': a name starts with a small letter and holds"),
        ("store: a\nsteps: [{select: x, budget: true}]", "a fraction or a percentage is meant, got True"),
        ("store: a\nseed: -1\nsteps: [{score: x}]", "'seed'"),
        ("store: a\nstore: b\nsteps: [{score: x}]", "written twice"),
        ("a: &x [1]\nb: *x", "aliases are not allowed"),
        ("- just\n- a list", "a recipe is a mapping"),
        ("store: [unclosed", "is not YAML"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
        ("store: a\nsteps: " + "[" * 30 + "]" * 30, "nested deeper"),
    ],
)
def test_refuses_and_says_why(text, said):
    with pytest.raises(RecipeError) as refused:
        parse_recipe(text)
    assert said in str(refused.value)


def test_the_message_names_the_step_by_number():
    with pytest.raises(RecipeError, match="step 2"):
        parse_recipe("store: a\nsteps: [{score: x}, {nothing: y}]")


def test_overrides_reach_into_steps():
    recipe = parse_recipe(FULL, overrides=["seed=3", "steps.5.budget=25%", "steps.2.with.model=ViT-L-14"])
    assert recipe.seed == 3
    assert recipe.steps[4].budget == "25%"
    assert recipe.steps[1].params["model"] == "ViT-L-14"


@pytest.mark.parametrize("override", ["seed", "steps.99.budget=1", "steps.x.budget=1"])
def test_a_bad_override_is_refused(override):
    with pytest.raises(RecipeError, match="--set"):
        parse_recipe(FULL, overrides=[override])


def test_a_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "recipe.yaml").write_text("x")
    with pytest.raises(RecipeError, match=r"recipe\.yaml"):
        read_recipe(tmp_path / "recipes.yaml")


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "r.yaml").write_bytes(b"store: \xff\xfe")
    with pytest.raises(RecipeError, match="UTF-8"):
        read_recipe(tmp_path / "r.yaml")


def test_every_step_describes_itself_and_its_fields():
    for verb, cls in STEPS.items():
        assert cls.__doc__, verb
        assert cls.verb == verb


def test_all_that_is_wrong_is_told_at_once():
    steps = [
        {"import": "a", "kinds": "label", "part_rows": 0},
        {"score": "phash"},
        {"select": "top", "budgt": 1, "budget": [1]},
        {"scor": "phash"},
    ]
    with pytest.raises(RecipeError) as caught:
        build_recipe({"store": "s", "steps": steps, "sed": 1})
    assert "unknown key 'sed'. Did you mean 'seed'" in str(caught.value)
    with pytest.raises(RecipeError) as caught:
        build_recipe({"store": "s", "steps": steps})
    head, *faults = str(caught.value).splitlines()
    assert head == "6 faults:"
    assert [fault.split()[2].rstrip(":") for fault in faults] == ["1", "1", "1", "3", "3", "4"]
    for told in (
        "key 'kinds'. Did you mean 'kind'",
        "the key 'kind' is missing",
        "'part_rows'",
        "'budgt'",
        "Did you mean 'score'",
    ):
        assert any(told in fault for fault in faults), told
