"""One module per verb: how a step of that kind is executed."""
