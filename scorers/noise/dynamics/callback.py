"""A callback for Hugging Face's `Trainer` that writes the logits of every epoch into a `LogitLog`.

The class is built when first asked for, so that importing this module does not import transformers.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

from curate.counting import counted
from curate.errors import InputError, require
from curate.scorers.noise.dynamics.log import EpochWriter, LogitLog

__all__ = ["LogitCallback"]

if TYPE_CHECKING:
    LogitCallback: Any


@cache
def _callback_class() -> Any:
    transformers: Any = require("transformers", "train")

    class LogitCallback(transformers.TrainerCallback):  # type: ignore[misc]
        """Logs the logits of a sequence classifier: `Trainer(..., callbacks=[LogitCallback(log)])`.

        Row i of the training set is row i of the log. Without `index`, all items pass through the model at the end of
        each epoch, in evaluation mode and batches of `batch_size`: one forward pass more, and every item measured at
        the same moment. With `index`, the name of an integer column that holds each item's row, the logits of
        training itself are caught at no cost; the column is taken out before the model sees it, and
        `TrainingArguments(remove_unused_columns=False)` must let it through.
        A run resumed from a checkpoint writes its epochs again. One process only: raises InputError under
        distributed training, for a data set of another length, and where the logits are not (items, classes).
        """

        def __init__(self, log: LogitLog, *, index: str | None = None, batch_size: int = 256) -> None:
            self.log, self.index, self.batch_size = log, index, batch_size
            self._catcher = None if index is None else _Catcher(log, index)

        def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            _check_training(args, given["train_dataloader"].dataset, self.log)
            if self._catcher is not None:
                if args.remove_unused_columns:
                    raise InputError(
                        f"index={self.index!r}: set TrainingArguments(remove_unused_columns=False), or the Trainer drops it"
                    )
                self._catcher.attach(given["model"])

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if self._catcher is not None:
                self._catcher.begin(math.floor((state.epoch or 0) + 1e-6))

        def on_epoch_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if self._catcher is not None:
                self._catcher.end()
            else:
                number = max(0, math.ceil(state.epoch - 1e-6) - 1)
                _log_pass(self.log, number, given["model"], given["train_dataloader"], self.batch_size)

        def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if self._catcher is not None:
                self._catcher.forget()

    LogitCallback.__module__, LogitCallback.__qualname__ = __name__, "LogitCallback"
    return LogitCallback


def _check_training(args: Any, data: Any, log: LogitLog) -> None:
    if args.world_size > 1 or args.n_gpu > 1:
        raise InputError(
            "LogitCallback logs one process on one device: set CUDA_VISIBLE_DEVICES to one, or record in your own loop"
        )
    if not hasattr(data, "__len__") or len(data) != len(log.labels):
        size = counted(len(data), "row") if hasattr(data, "__len__") else "no length"
        raise InputError(
            f"the training set has {size}, the log {counted(len(log.labels), 'item')}: they must be the same"
        )


class _Catcher:
    """Catches the logits of training itself, by hooks on the model, into the epoch that was begun."""

    def __init__(self, log: LogitLog, index: str) -> None:
        self._log, self._index = log, index
        self._writer: EpochWriter | None = None
        self._rows: Any = None
        self._hooks: list[Any] = []

    def attach(self, model: Any) -> None:
        self.forget()  # of a training that broke off
        self._hooks = [
            model.register_forward_pre_hook(self._take_index, with_kwargs=True),
            model.register_forward_hook(self._catch),
        ]

    def begin(self, number: int) -> None:
        self._writer = self._log.epoch(number).__enter__()

    def end(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.__exit__(None, None, None)

    def forget(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        if self._writer is not None:
            self._writer.discard()
        self._writer = None

    def _take_index(self, model: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        self._rows = kwargs.pop(self._index, None)
        return args, kwargs

    def _catch(self, model: Any, args: Any, output: Any) -> None:
        if not model.training or self._writer is None:
            return
        if self._rows is None:
            raise InputError(f"index={self._index!r}: the batches have no such column")
        self._writer.record(self._rows, _logits(output))


def _log_pass(log: LogitLog, number: int, model: Any, loader: Any, batch_size: int) -> None:
    """All items through the model in the order of the data set, in evaluation mode."""
    torch: Any = require("torch", "train")
    batches = torch.utils.data.DataLoader(loader.dataset, batch_size=batch_size, collate_fn=loader.collate_fn)
    device = next(model.parameters()).device
    was_training, low = model.training, 0
    model.eval()
    try:
        with torch.no_grad(), log.epoch(number) as writer:
            for batch in batches:
                logits = _logits(model(**{name: value.to(device) for name, value in batch.items()}))
                writer.record(torch.arange(low, low + len(logits)), logits)
                low += len(logits)
    finally:
        model.train(was_training)


def _logits(output: Any) -> Any:
    """The logits of a model's output: an object or a dict that names them, or the second of a tuple, as for `Trainer`.

    Raises InputError where there are none, or not one row per item.
    """
    logits = output.get("logits") if isinstance(output, dict) else getattr(output, "logits", None)
    if logits is None and isinstance(output, tuple) and len(output) > 1:
        logits = output[1]
    if logits is None or logits.ndim != 2:
        shape = "none" if logits is None else tuple(logits.shape)
        raise InputError(f"logits of shape {shape}: a classifier of items gives (items, classes)")
    return logits


def __getattr__(name: str) -> Any:
    if name != "LogitCallback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _callback_class()
