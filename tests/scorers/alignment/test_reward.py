"""Reward heads by hand, and loaded from files as they are published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curate.errors import InputError, MissingModelError
from curate.scorers.alignment import load_reward_head, reward_score
from curate.scorers.alignment.reward import RewardHead
from curate.testing import ArrayView, check_scorer, score_all

LAYERS = [
    (np.array([[1.0, 0.0], [0.0, -2.0]]), np.array([0.0, 1.0])),
    (np.array([[3.0, 1.0]]), np.array([-1.0])),
]
VECTORS = np.array([[1, 2], [-1, 0], [0, 0], [np.nan, np.nan]], np.float32)


def test_by_hand() -> None:
    assert reward_score([[1, 2], [-1, 0]], LAYERS).tolist() == [-1, -3]
    assert reward_score([[1, 2], [-1, 0]], LAYERS, "relu").tolist() == [2, 0]
    gelu = 3 * 0.8413447 - 3 * 0.0013499 - 1  # x times the normal distribution function, of 1 and of -3
    assert reward_score([[1, 2]], LAYERS, "gelu")[0] == pytest.approx(gelu, abs=1e-6)
    assert reward_score(np.empty((0, 2)), LAYERS).shape == (0,)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2))
    whole = reward_score(rows, LAYERS, "relu")
    monkeypatch.setattr("curate.scorers.alignment.reward._ROWS", 7)
    assert np.allclose(reward_score(rows, LAYERS, "relu"), whole, atol=1e-12)


@pytest.mark.parametrize(
    ("features", "layers", "message"),
    [
        ([[1, 2, 3]], LAYERS, "layer 0 takes 2 numbers and gets 3"),
        ([1, 2], LAYERS, r"features are \(2,\)"),
        ([[1, 2]], [], "without layers"),
        ([[1, 2]], LAYERS[:1], "gives 2 numbers"),
        ([[1, 2]], [(np.ones((1, 2)), np.ones(2))], "do not fit"),
    ],
)
def test_layers_that_do_not_fit(features: list, layers: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        reward_score(features, layers)


def test_an_activation_that_is_none_of_ours() -> None:
    with pytest.raises(InputError, match="activation 'tanh'"):
        reward_score([[1, 2]], LAYERS, "tanh")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """The same head as ImageReward keeps it in a whole checkpoint, and as LAION publishes its own."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    names = {(0, 0): "layers.0.weight", (0, 1): "layers.0.bias", (1, 0): "layers.10.weight"}
    names[1, 1] = "layers.10.bias"
    head = {name: torch.tensor(LAYERS[i][j], dtype=torch.float32) for (i, j), name in names.items()}
    save_file(head, tmp_path / "head.safetensors")
    whole = {f"mlp.{name}": values for name, values in head.items()}
    whole["blip.text_encoder.layer.0.weight"] = torch.ones(3, 3)
    whole["blip.text_encoder.layer.0.bias"] = torch.ones(3)
    torch.save(whole, tmp_path / "whole.pt")
    return tmp_path


def test_loading(files: Path) -> None:
    for name, prefix in (("head.safetensors", ""), ("whole.pt", "mlp.")):
        layers = load_reward_head(str(files / name), prefix)
        assert reward_score([[1, 2], [-1, 0]], layers).tolist() == [-1, -3]
    with pytest.raises(InputError, match="more than one layer 0"):
        load_reward_head(str(files / "whole.pt"))
    with pytest.raises(InputError, match=r"no head under 'head\.'"):
        load_reward_head(str(files / "whole.pt"), "head.")
    with pytest.raises(MissingModelError, match="there is no file"):
        load_reward_head(str(files / "nowhere.pt"))
    (files / "bad.pt").write_bytes(b"no weights")
    with pytest.raises(MissingModelError, match="holds no weights"):
        load_reward_head(str(files / "bad.pt"))


def test_scorer(files: Path) -> None:
    head = str(files / "head.safetensors")
    view = ArrayView({"id": list("abcd")}, {"clip_image": VECTORS, "other": VECTORS[[1, 0, 2, 3]]})
    check_scorer(RewardHead(weights=head), view, planted=("a", "b"))
    assert score_all(RewardHead(weights=head), view)["reward_head"].to_pylist() == [-1, -3, 0, None]

    def first(**fields: object) -> float:
        return score_all(RewardHead(weights=head, **fields), view)["reward_head"][0].as_py()

    assert first(features="other") == -3
    assert first(activation="relu") == 2
    assert first(mean=1.0, deviation=0.5) == -4
    assert first(unit=True) == pytest.approx((3 - 4) / 5**0.5 + 0, abs=1e-6)
    whole = RewardHead(weights=str(files / "whole.pt"), prefix="mlp.")
    assert score_all(whole, view)["reward_head"][0].as_py() == -1
    zero = score_all(RewardHead(weights=head, unit=True), view)
    assert zero["reward_head_reason"].to_pylist() == [None, None, *["no vector in 'clip_image'"] * 2]
    with pytest.raises(InputError, match="deviation 0"):
        RewardHead(weights=head, deviation=0.0)
