"""Noise where a label is more than one class: sets, sequences, numbers, positives alone, classes left out."""
