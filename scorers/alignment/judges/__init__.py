"""Language models behind an endpoint as judges: a client that pays once, and what is asked through it."""
