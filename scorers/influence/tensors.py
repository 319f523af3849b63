"""The same projections in torch, for gradients that lie on a GPU: equal to those on the CPU but for the order of sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from curate.errors import require

if TYPE_CHECKING:
    from curate.scorers.influence.projection import Projection

__all__ = ["add_tensor"]

_CELLS = 1 << 24
"""Numbers of a temporary table: 64 MB of float32."""


def add_tensor(projection: Projection, block: Any, offset: int, sums: Any) -> None:
    """Add the coordinates `offset` ... of `block` (n, w) to the projections `sums` (n, dim), both on one device."""
    if projection.kind == "count-sketch":
        _sketch(projection, block, offset, sums)
    else:
        _rademacher(projection, block, offset, sums)


def _sketch(projection: Projection, block: Any, offset: int, sums: Any) -> None:
    torch: Any = require("torch", "train")
    step = max(1, _CELLS // max(1, block.shape[0]))
    for low in range(0, block.shape[1], step):
        piece = block[:, low : low + step]
        numbers = torch.arange(offset + low, offset + low + piece.shape[1], device=block.device)
        bits = _hash(numbers, projection.key)
        bucket = (_shift(bits, 32) * projection.dim) >> 32
        sign = 1 - 2 * (bits & 1).to(piece.dtype)
        sums.index_add_(1, bucket, piece * sign)


def _rademacher(projection: Projection, block: Any, offset: int, sums: Any) -> None:
    torch: Any = require("torch", "train")
    words = projection.dim // 64
    places = torch.arange(64, device=block.device)
    step = max(1, _CELLS // projection.dim)
    for low in range(0, block.shape[1], step):
        piece = block[:, low : low + step]
        first = offset + low
        numbers = torch.arange(first * words, (first + piece.shape[1]) * words, device=block.device)
        bits = _hash(numbers, projection.key)
        ones = (bits[:, None] >> places) & 1
        signs = (1 - 2 * ones.to(piece.dtype)).reshape(piece.shape[1], projection.dim)
        sums += (piece * projection.dim**-0.5) @ signs


def _hash(numbers: Any, key: int) -> Any:
    """splitmix64 in torch's signed integers, which wrap around as unsigned ones do."""
    z = numbers * _signed(0x9E3779B97F4A7C15) + _signed(key)
    z = (z ^ _shift(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shift(z, 31)


def _shift(z: Any, places: int) -> Any:
    """Shift right, filling with zeros."""
    return (z >> places) & ((1 << (64 - places)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
