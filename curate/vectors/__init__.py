"""Rows of vectors wherever they lie, in memory or with the pieces of a view, and what is asked of all of them together.

`sources` has the rows, `sums` adds them up exactly, `clusters` is k-means; `rows` says what a row may be.
"""
