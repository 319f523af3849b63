"""LoRA, gradients, LESS and pursuit, retrain: what is chosen for a target teaches it more than what is drawn at random."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="extra train not installed")
transformers = pytest.importorskip("transformers", reason="extra train not installed")
peft = pytest.importorskip("peft", reason="extra train not installed")
pytest.importorskip("numba", reason="extra select not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

from curate.scorers.influence import (  # noqa: E402
    Checkpoint,
    Plan,
    adam_moments,
    causal_loss,
    collect_gradients,
    encode_pairs,
    less,
    select_parameters,
)
from curate.selectors.pursuit import pursue  # noqa: E402

N, K = 48, 8


def copies(rng: np.random.Generator) -> tuple[str, str]:
    word = "".join(rng.choice(list("abcdef"), 4))
    return f"copy {word}:", f" {word}"


def sums(rng: np.random.Generator) -> tuple[str, str]:
    a, b = rng.integers(1, 9, 2)
    return f"{a} + {b} =", f" {a + b}"


def adapted(base: Any) -> Any:
    torch.manual_seed(0)
    lora = peft.LoraConfig(r=4, lora_alpha=16, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
    return peft.get_peft_model(copy.deepcopy(base), lora)


def fit(model: Any, texts: Any, rows: np.ndarray, steps: int) -> Any:
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for step in range(steps):
        few = rows[np.arange(step * 4, step * 4 + 4) % len(rows)]
        optimiser.zero_grad()
        causal_loss(model, texts.batch(few)).backward()
        optimiser.step()
    return optimiser


def test_from_adapters_to_a_better_model(tmp_path: Path, save_language_model: Any) -> None:
    folder = save_language_model(limit=32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.random.fork_rng():
        base = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
        rng = np.random.default_rng(0)
        pairs = [
            copies(rng) if i % 4 == 0 else sums(rng) for i in range(N)
        ]  # a quarter of the kind asked for
        wanted = [copies(rng) for _ in range(12)]
        pool, aim = (
            encode_pairs(tokenizer, [p for p, _ in some], [a for _, a in some]) for some in (pairs, wanted)
        )
        model = adapted(base)
        optimiser = fit(model, pool, rng.permutation(N)[:16], 6)
        moments = adam_moments(optimiser.state_dict(), select_parameters(model))
        plan = Plan(dim=512, precision="int8")
        train = collect_gradients(
            model,
            pool.batch,
            tmp_path / "train",
            rows=N,
            loss=causal_loss,
            checkpoints=[Checkpoint(None, 1e-2, moments)],
            plan=plan,
        )
        target = collect_gradients(
            model,
            aim.batch,
            tmp_path / "aim",
            rows=4,
            loss=causal_loss,
            checkpoints=[Checkpoint(None, 1e-2)],
            plan=plan,
        )
        chosen = {
            "less": np.argsort(-less(train.store, target.store).score)[:K],
            "pursuit": pursue(train.store, target.store.to_numpy().mean(0), K).index,
            "random": rng.permutation(N)[:K],
        }
        losses = {}
        for name, rows in chosen.items():
            again = adapted(base)
            fit(again, pool, rows, 12)
            with torch.no_grad():
                losses[name] = float(causal_loss(again.eval(), aim.batch(np.arange(4, 12))))
    kin = {name: float(np.mean(rows % 4 == 0)) for name, rows in chosen.items()}
    assert train.method == "vmap"
    assert kin["less"] >= 0.75 and kin["pursuit"] >= 0.75 > kin["random"], kin
    assert max(losses["less"], losses["pursuit"]) < losses["random"], losses
