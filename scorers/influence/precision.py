"""Gradients in few bytes: half precision, a byte or a bit each, with a scale for every row and checkpoint."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.errors import InputError

__all__ = ["PRECISIONS", "Coded", "Precision", "code_shape", "decode", "encode"]

Precision = Literal["fp16", "int8", "1-bit"]
PRECISIONS = ("fp16", "int8", "1-bit")
Floats = npt.NDArray[np.float32]


class Coded(NamedTuple):
    """`codes` (n, width) float16, int8, or uint8 holding eight signs each; `scales` (n,) float32, by which to multiply."""

    codes: npt.NDArray[Any]
    scales: Floats


def code_shape(dim: int, precision: Precision) -> tuple[int, np.dtype[Any]]:
    """How many codes of which dtype hold `dim` numbers. Raises InputError for a precision that is not to be had."""
    if precision == "fp16":
        return dim, np.dtype(np.float16)
    if precision == "int8":
        return dim, np.dtype(np.int8)
    if precision == "1-bit":
        return -(-dim // 8), np.dtype(np.uint8)
    raise InputError(f"precision {precision!r}: one of {', '.join(PRECISIONS)}")


def encode(values: Floats, precision: Precision, *, unit: bool = False) -> Coded:
    """Rows (n, d) float32 as codes and scales.

    fp16: scaled by a power of two, so that small gradients keep their 11 bits (`unit` rows, of length 1, are kept as they are:
    scale 1). int8: the largest number becomes 127. 1-bit: signs alone, at a scale that keeps the row's length.
    A row that is not finite gets the scale NaN, and fp16 codes of NaN: decoded, it is NaN throughout. Zeros stay zeros.
    """
    width, dtype = code_shape(values.shape[1], precision)
    finite = np.asarray(np.isfinite(values).all(axis=1))
    clean = values if finite.all() else np.where(finite[:, None], values, np.float32(0))
    largest = np.abs(clean).max(axis=1, initial=0)
    if precision == "1-bit":
        length = np.sqrt(np.einsum("ij,ij->i", clean, clean, dtype=np.float64) / max(1, values.shape[1]))
        scales = length.astype(np.float32)
        codes = np.packbits(clean > 0, axis=1)
    elif precision == "int8":
        scales = (largest / 127).astype(np.float32)
        codes = np.rint(clean / _divisor(scales)).clip(-127, 127).astype(np.int8)
    else:
        exponent = np.zeros(len(clean), np.int32) if unit else np.frexp(largest)[1]
        scales = np.ldexp(np.float32(1), exponent).astype(np.float32)
        codes = (clean / _divisor(scales)).astype(np.float16)
        codes[~finite] = np.nan
    scales[~finite] = np.nan
    assert codes.shape == (len(values), width) and codes.dtype == dtype
    return Coded(codes, scales)


def _divisor(scales: Floats) -> Floats:
    return np.where(scales > 0, scales, np.float32(1))[:, None]


def decode(codes: npt.NDArray[Any], scales: npt.NDArray[np.float32], dim: int) -> Floats:
    """The rows (n, dim) float32 that codes (n, width) and scales (n,) stand for."""
    if codes.dtype == np.uint8:
        values = np.unpackbits(codes, axis=1, count=dim).astype(np.float32)
        values *= 2
        values -= 1
    else:
        values = codes.astype(np.float32)
    values *= scales[:, None]
    return values
