"""What selectors share: budgets and their shares, who must and must not be chosen, and reading the items.

A pure selector takes `within`, a `Constraints`, and turns it with the budget into `Terms`: arrays, with nothing left
out. A component inherits the fields of `Constrained`, whose `pool` reads the items in the order of ids.
"""

from curate.choosing.budgets import Balance, allot, capacity, cost_budget, level
from curate.choosing.chance import Rng, generator, read_seed
from curate.choosing.constraints import Account, Constraints, Terms, at_random, highest, in_order
from curate.choosing.effort import effort
from curate.choosing.heads import ceilings, places_to_ask
from curate.choosing.pool import (
    Constrained,
    Meter,
    Pool,
    as_matrix,
    draw_seed,
    finite_rows,
    peak_memory,
    strata,
)

__all__ = [
    "Account",
    "Balance",
    "Constrained",
    "Constraints",
    "Meter",
    "Pool",
    "Rng",
    "Terms",
    "allot",
    "as_matrix",
    "at_random",
    "capacity",
    "ceilings",
    "cost_budget",
    "draw_seed",
    "effort",
    "finite_rows",
    "generator",
    "highest",
    "in_order",
    "level",
    "peak_memory",
    "places_to_ask",
    "read_seed",
    "strata",
]
