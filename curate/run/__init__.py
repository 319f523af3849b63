"""Runners, resume, and the ledger of what happened."""
