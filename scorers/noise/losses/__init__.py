"""Losses that stand wrong labels: LDR and ALDR, ELR; as functions on tensors and arrays, and as torch modules."""
