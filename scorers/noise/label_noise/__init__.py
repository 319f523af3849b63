"""Wrong labels by a model of how labels go wrong: our default finder, its audit plan and the analysis on top."""
