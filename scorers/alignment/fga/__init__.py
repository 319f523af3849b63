"""FGA-BLIP2 (EvalMuse-40K): how well a text fits its image, as a whole and element by element; scoring and training."""
