"""Recognition by small random models: batches, padding and order change nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from curate.errors import InputError, MissingModelError
from curate.scorers.speech.recognition import load_recogniser

pytest.importorskip("torch", reason="extra train not installed")
RATE = 16000


def sounds() -> list[np.ndarray]:
    """Five sounds of several lengths."""
    rng = np.random.default_rng(0)
    return [
        (0.1 * rng.normal(size=n) + 0.3 * np.sin(np.arange(n) / (5 + i))).astype(np.float32)
        for i, n in enumerate((16000, 4000, 9001, 16000, 12345))
    ]


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_batch_padding_and_order_change_nothing(norm: str, save_speech_model: Callable[..., str]) -> None:
    model = load_recogniser(save_speech_model("ctc", norm), "cpu", "fp32")
    assert model.ctc and model.rate == RATE and model.blank == 0 and model.longest == float("inf")
    alone = [model.log_probs([sound])[0] for sound in sounds()]
    for batch_size in (2, 5):
        together = model.log_probs(sounds()[::-1], batch_size)[::-1]
        for a, b in zip(alone, together, strict=True):
            assert a.shape == b.shape and np.allclose(a, b, atol=1e-5)
    assert np.allclose(np.exp(alone[0]).sum(1), 1, atol=1e-5)
    assert len({len(a) for a in alone}) == 4 and alone[0].std() > 0.05
    said = model.transcribe(sounds())
    assert said == [model.transcribe([sound])[0] for sound in sounds()]


def test_a_model_for_two_seconds_that_writes(save_speech_model: Callable[..., str]) -> None:
    model = load_recogniser(save_speech_model("whisper"), "cpu", "fp32")
    assert not model.ctc and model.longest == 2.0
    said = model.transcribe(sounds(), batch_size=5)
    assert said == [model.transcribe([sound])[0] for sound in sounds()]
    with pytest.raises(InputError, match="language='en' is refused"):  # it was trained on none
        model.transcribe(sounds()[:1], language="en")
    assert len(said) == 5 and all(isinstance(text, str) for text in said)


def test_what_cannot_be_had_is_named(save_speech_model: Callable[..., str], tmp_path: object) -> None:
    with pytest.raises(MissingModelError, match="nobody/nothing"):
        load_recogniser("nobody/nothing", "cpu", "fp32")
    with pytest.raises(MissingModelError, match="holds no usable"):
        load_recogniser(str(tmp_path), "cpu", "fp32")
    with pytest.raises(MissingModelError, match="none of AutoModelForCTC"):
        load_recogniser(save_speech_model("whisper"), "cpu", "fp32", True)
    with pytest.raises(InputError, match="fp16"):
        load_recogniser("nobody/nothing", "cpu", "fp16")
    ctc = load_recogniser(save_speech_model("ctc"), "cpu", "fp32")
    with pytest.raises(InputError, match="one language"):
        ctc.transcribe(sounds()[:1], language="en")
