"""Public functions on arrays take tensors, columns and frames at their doors, and give what they give for arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import curate.annotators.consensus as consensus
import curate.scorers.alignment as alignment
import curate.scorers.combine as combine
import curate.scorers.influence as influence
import curate.scorers.noise as noise
import curate.scorers.text as text
import curate.selectors.coreset as coreset
import curate.selectors.pruning as pruning
import curate.selectors.pursuit as pursuit
import curate.selectors.reweighting as reweighting
from curate.errors import InputError
from curate.scorers.noise.neighbours.outlier import confidence

RNG = np.random.default_rng(0)
N = 24


def plain(values: np.ndarray) -> np.ndarray:
    """Numbers that bfloat16 holds, too."""
    return (np.round(values * 16) / 16).astype(np.float32)


X, Z = plain(RNG.standard_normal((N, 6))), plain(RNG.standard_normal((N, 6)))
Y, GROUP = np.arange(N) % 4, np.arange(N) % 2
PROBS = np.array([np.roll([0.5, 0.25, 0.125, 0.125], i) for i in RNG.integers(0, 4, N)], np.float32)
SOME = plain(np.abs(RNG.standard_normal(N))) + 0.0625
OTHER = SOME[::-1].copy()
YES = PROBS > 0.2
OFFSETS = np.array([0, 10, N])

DOORS: dict[str, tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = {
    "label_errors": (lambda p, y: noise.label_errors(p, y).score, (PROBS, Y)),
    "label_errors of two": (lambda p, y: noise.label_errors([p, p], y).score, (PROBS, Y)),
    "fit_transition": (lambda p, y: noise.fit_transition(p, y).matrix, (PROBS, Y)),
    "confident_learning": (lambda p, y: noise.confident_learning(p, y).quality, (PROBS, Y)),
    "confident_joint": (noise.confident_joint, (PROBS, Y)),
    "label_quality": (noise.label_quality, (PROBS, Y)),
    "ensemble_quality": (lambda p, y: noise.ensemble_quality([p, p], y), (PROBS, Y)),
    "missing_labels": (lambda p, g: noise.missing_labels(p, g).soft, (PROBS, YES)),
    "multilabel_errors": (lambda p, g: noise.multilabel_errors(p, g).quality, (PROBS, YES)),
    "token_errors": (lambda *a: noise.token_errors(*a).token_score, (PROBS, Y, np.full(6, 4))),
    "regression_errors": (lambda a, b: noise.regression_errors(a, b).score, (SOME, OTHER)),
    "outre": (noise.outre, (SOME, OTHER)),
    "out_of_fold_predictions": (noise.out_of_fold_predictions, (X, SOME)),
    "knn_shapley": (lambda x, y: noise.knn_shapley(x, y, x, y), (X, Y)),
    "knn_agreement": (lambda x, y: noise.knn_agreement(x, y).score, (X, Y)),
    "class_gaussian": (lambda x, y: noise.class_gaussian(x, y).margin, (X, Y)),
    "lemon": (lambda x, z: noise.lemon(x, z, k=3).score, (X, Z)),
    "knn_distance": (noise.knn_distance, (X,)),
    "mahalanobis_distance": (noise.mahalanobis_distance, (X, Y)),
    "nearest": (lambda x: noise.nearest(x, 3).rows, (X,)),
    "energy": (noise.energy, (X,)),
    "confidence": (confidence, (PROBS,)),
    "training_dynamics": (lambda z, y: noise.training_dynamics([z, z], y).margin, (X[:, :4], Y)),
    "estimate_noise_rates": (
        lambda t: noise.estimate_noise_rates(t, 4).trust,
        (np.column_stack([Y, Y, Y]),),
    ),
    "subset_runs": (lambda x, y: noise.subset_runs(x, y, 4, runs=3).correct, (X, Y)),
    "influence": (noise.influence, (YES, YES)),
    "threshold_samples": (lambda y: noise.threshold_samples(y, 4)[0], (Y,)),
    "el2n": (influence.el2n, (PROBS, Y)),
    "grand": (influence.grand, (PROBS, Y, X)),
    "last_layer_gradients": (influence.last_layer_gradients, (PROBS, Y, X)),
    "less": (lambda x, z: influence.less(x, z).score, (X, Z)),
    "tracin": (lambda x, z: influence.tracin(x, z).score, (X, Z)),
    "trak": (lambda x, z: influence.trak(x, z).score, (X, Z)),
    "datainf": (lambda x, z: influence.datainf(x, z).score, (X, Z)),
    "gist": (lambda x, z: influence.gist(x, z).score, (X, Z)),
    "self_influence": (influence.self_influence, (X,)),
    "loss_drop": (influence.loss_drop, (SOME, OTHER)),
    "project": (lambda x: influence.project(x, 4), (X,)),
    "pursue": (lambda x, t: pursuit.pursue(x, t, 5).index, (X, Z[0])),
    "nonnegative_least_squares": (pursuit.nonnegative_least_squares, (X, Z[0])),
    "leading_directions": (lambda x: pursuit.leading_directions(x, 2), (X,)),
    "information_projection": (lambda x, z: pursuit.information_projection(x, z, 2).index, (X, Z)),
    "soft_cap": (lambda s: pursuit.soft_cap(s, 5).index, (SOME,)),
    "usual_product": (lambda x: pursuit.usual_product(x), (X,)),
    "ccs": (lambda s: coreset.ccs(s, 5).index, (SOME,)),
    "craig": (lambda x: coreset.craig(x, 5).index, (X,)),
    "d2": (lambda x, s: coreset.d2(x, s, 5).index, (X, SOME)),
    "facility_location": (lambda x: coreset.facility_location(x, 5).index, (X,)),
    "forgetting_events": (coreset.forgetting_events, (YES,)),
    "grad_match": (lambda x, t: coreset.grad_match(x, 5, target=t).index, (X, Z[0])),
    "hardest": (lambda s: coreset.hardest(s, 5).index, (SOME,)),
    "herding": (lambda x: coreset.herding(x, 5).index, (X,)),
    "k_center": (lambda x: coreset.k_center(x, 5).index, (X,)),
    "query": (lambda x, s: coreset.query(x, s, 5).index, (X, SOME)),
    "class_centroids": (lambda x, y: pruning.class_centroids(x, y, 4), (X, Y)),
    "nearest_centroid": (pruning.nearest_centroid, (X, Z)),
    "feature_mapping": (lambda x, z, y: pruning.feature_mapping(x, z, y).index, (X, Z, Y)),
    "label_mapping": (lambda p, y: pruning.label_mapping(p, y).index, (PROBS, Y)),
    "density_scores": (reweighting.density_scores, (X, Y)),
    "group_weights": (lambda g: reweighting.group_weights(g).weight, (GROUP,)),
    "importance_resample": (lambda s: reweighting.importance_resample(s, 5).weight, (SOME,)),
    "instance_selection": (lambda s, y: reweighting.instance_selection(s, y).index, (SOME, Y)),
    "log_density_ratio": (reweighting.log_density_ratio, (X, Z)),
    "middle_rows": (lambda x, y: reweighting.middle_rows(x, y, 0.5), (X, Y)),
    "normalise": (reweighting.normalise, (SOME,)),
    "spread_weights": (reweighting.spread_weights, (X, Y, np.arange(8), SOME[:8])),
    "average_precision": (combine.average_precision, (GROUP, SOME)),
    "spearman": (combine.spearman, (SOME, OTHER)),
    "mean_score": (combine.mean_score, (X,)),
    "rank_mean": (combine.rank_mean, (X,)),
    "clip_score": (alignment.clip_score, (X, Z)),
    "srcc": (alignment.srcc, (SOME, OTHER)),
    "pn_vqa_score": (alignment.pn_vqa_score, (SOME / 8, OTHER / 8)),
    "ches": (lambda a, b, n: text.ches(a, b, n, n), (X, Z, np.full(N, 3))),
    "min_k": (lambda s, at: text.min_k(s, at), (-SOME, OFFSETS)),
    "mean_log_prob": (text.mean_log_prob, (-SOME, OFFSETS)),
    "crowdlab": (
        lambda p: (
            consensus.crowdlab(
                {"item": [*range(N)] * 2, "annotator": ["a"] * N + ["b"] * N, "value": [*Y, *Y[::-1]]}, p
            ).probability
        ),
        (PROBS,),
    ),
    "aggregate": (
        lambda y: consensus.aggregate({"item": np.arange(N), "annotator": ["a"] * N, "value": y})["value"],
        (Y,),
    ),
}


def tensor(values: np.ndarray) -> Any:
    """In half the precision, with gradients where there can be any."""
    torch = pytest.importorskip("torch")
    made = torch.tensor(values)
    return made.bfloat16().requires_grad_() if values.dtype.kind == "f" else made


def frame(values: np.ndarray) -> Any:
    pandas = pytest.importorskip("pandas")
    if values.ndim == 2:
        return pandas.DataFrame(values)
    return pandas.Series(values, index=range(5, 5 + len(values)))


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "list": np.ndarray.tolist,
    "tensor": tensor,
    "pandas": frame,
    "polars": lambda a: pl.DataFrame(a) if a.ndim == 2 else pl.Series(a),
    "arrow": lambda a: pa.array(a.tolist()),
}


@pytest.mark.parametrize("door", DOORS)
def test_whatever_holds_the_numbers_the_answer_is_the_same(door: str) -> None:
    function, given = DOORS[door]
    expected = np.asarray(function(*given), float)
    assert expected.size
    for form, make in FORMS.items():
        found = np.asarray(function(*map(make, given)), float)
        # lists hold doubles: what is summed in single precision of arrays is summed in double of them
        assert np.allclose(found, expected, rtol=1e-5, atol=1e-6, equal_nan=True), form


@pytest.mark.parametrize("door", ["label_errors", "knn_shapley", "pursue", "herding", "less", "clip_score"])
def test_what_holds_no_numbers_is_refused(door: str) -> None:
    function, given = DOORS[door]
    for wrong in (given[0] * 1j, given[0].astype(str), None, [[0.5, 0.5], [1.0]]):
        with pytest.raises(InputError):
            function(wrong, *given[1:])


@pytest.mark.parametrize("loss", [noise.ldr_kl, noise.aldr_kl])
def test_losses_keep_tensors_and_gradients_and_take_all_else(loss: Callable[..., Any]) -> None:
    torch = pytest.importorskip("torch")
    logits = torch.tensor(X[:, :4], requires_grad=True)
    value = loss(logits, pl.Series(Y))
    value.backward()
    assert logits.grad is not None and logits.grad.abs().sum() > 0
    assert value.item() == pytest.approx(float(loss(X[:, :4], Y)), rel=1e-5)
    for form in ("list", "pandas", "polars", "arrow"):
        assert float(loss(FORMS[form](X[:, :4]), FORMS[form](Y))) == pytest.approx(value.item(), rel=1e-5)
