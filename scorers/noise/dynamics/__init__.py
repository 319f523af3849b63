"""What training shows about labels: logged logits and what follows from them, a small trainer, and its scorers."""
