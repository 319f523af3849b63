"""A recipe: one YAML file that says what happens to a dataset, read safely and checked before anything runs."""

from curate.recipe.model import Recipe, Step
from curate.recipe.reader import parse_recipe, read_recipe

__all__ = ["Recipe", "Step", "parse_recipe", "read_recipe"]
