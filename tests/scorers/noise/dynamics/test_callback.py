"""`LogitCallback` in a Hugging Face Trainer with a tiny random model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("accelerate", reason="extra train not installed")
pytest.importorskip("transformers", reason="extra train not installed")

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from transformers.modeling_outputs import SequenceClassifierOutput

from curate.errors import InputError
from curate.scorers.noise import LogitCallback, LogitLog, training_dynamics
from curate.scorers.noise.dynamics import callback

N = 18


class Sentences(torch.utils.data.Dataset):
    """Token 2 + class says the class; item 4 bears a wrong label."""

    def __init__(self, index: str | None, n: int = N) -> None:
        self.index, self.n = index, n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> dict[str, Any]:
        item = {"input_ids": torch.tensor([1, 2 + i % 3, 7]), "labels": torch.tensor(int(LABELS[i]))}
        return item | ({self.index: torch.tensor(i)} if self.index else {})


LABELS = np.arange(N) % 3
LABELS[4] = 0


def trainer(folder: Path, log: LogitLog, index: str | None, n: int = N, **more: Any) -> Trainer:
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertForSequenceClassification(BertConfig(vocab_size=8, num_labels=3, **size))
    settings = {
        "num_train_epochs": 10,
        "lr_scheduler_type": "constant",
        "per_device_train_batch_size": 4,
        "learning_rate": 0.01,
        "report_to": [],
        "use_cpu": True,
        "save_strategy": "no",
        "disable_tqdm": True,
        "remove_unused_columns": index is None,
    } | more
    arguments = TrainingArguments(str(folder / "out"), **settings)
    callbacks = [LogitCallback(log, index=index, batch_size=7)]
    return Trainer(model, arguments, train_dataset=Sentences(index, n), callbacks=callbacks)


def new_log(folder: Path) -> LogitLog:
    return LogitLog.create(folder / "log", [f"{i:02d}" for i in range(N)], LABELS, 3)


@pytest.mark.parametrize("index", [None, "row"])
def test_every_epoch_is_logged_and_shows_the_wrong_label(tmp_path: Path, index: str | None) -> None:
    log = new_log(tmp_path)
    made = trainer(tmp_path, log, index)
    made.train()
    assert len(log) == 10 and all(np.isfinite(epoch).all() for epoch in log)
    assert training_dynamics(log, log.labels).margin.argmin() == 4
    assert made.model.training or index is None
    if index is None:  # evaluation mode: what the finished model says is what was logged last
        made.model.eval()
        with torch.no_grad():
            now = made.model(
                input_ids=torch.stack([Sentences(None)[i]["input_ids"] for i in range(N)])
            ).logits
        np.testing.assert_allclose(log[9], now, atol=5e-3)
    else:
        assert not made.model._forward_hooks and not made.model._forward_pre_hooks


def test_a_resumed_run_goes_on_in_the_same_log(tmp_path: Path) -> None:
    trainer(tmp_path, new_log(tmp_path), None, num_train_epochs=2, save_strategy="epoch").train()
    log = new_log(tmp_path)
    assert len(log) == 2
    first = np.array(log[0])
    more = trainer(tmp_path, log, None, num_train_epochs=4)
    more.train(resume_from_checkpoint=str(next((tmp_path / "out").glob("checkpoint-5"))))
    assert len(log) == 4
    np.testing.assert_array_equal(log[0], first)


def test_a_model_may_give_its_logits_by_name_or_as_the_second_of_a_tuple() -> None:
    loss, logits = torch.zeros(()), torch.zeros(2, 3)
    for output in ({"loss": loss, "logits": logits}, (loss, logits), SequenceClassifierOutput(loss, logits)):
        assert callback._logits(output) is logits
    with pytest.raises(InputError, match="logits of shape none"):
        callback._logits({"loss": loss})


def test_what_cannot_be_logged_is_refused(tmp_path: Path) -> None:
    log = new_log(tmp_path)
    with pytest.raises(InputError, match="17 rows, the log 18"):
        trainer(tmp_path, log, None, n=17).train()
    with pytest.raises(InputError, match="remove_unused_columns=False"):
        trainer(tmp_path, log, "row", remove_unused_columns=True).train()
    other = trainer(tmp_path, log, None, remove_unused_columns=False)
    other.add_callback(LogitCallback(log, index="row"))
    other.pop_callback(other.callback_handler.callbacks[-2])
    with pytest.raises(InputError, match="no such column"):
        other.train()
    assert len(log) == 0
    with pytest.raises(InputError, match="logits of shape"):
        callback._logits((torch.zeros(()), torch.zeros(2, 5, 3)))
    with pytest.raises(AttributeError):
        _ = callback.Nothing
