"""The geometry of histograms, against values worked out by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest

from curate.report.bins import Spread, choose_edges, choose_ticks, count_into
from curate.report.drawing import LEFT, PLOT_HEIGHT, PLOT_WIDTH, TOP, draw_histogram, scale_height, scale_x
from curate.report.model import Histogram, Threshold


def spread(values: list[float], *, whole: bool = False) -> Spread:
    q = np.quantile(values, [0.001, 0.5, 0.999], method="inverted_cdf")
    return Spread(len(values), 0, min(values), q[0], q[1], q[2], max(values), whole)


def test_without_thresholds_forty_bins_span_the_values():
    edges = choose_edges(spread(list(np.linspace(0, 1, 200))))
    assert len(edges) == 41
    assert edges[0] == 0 and edges[-1] == 1
    assert np.allclose(np.diff(edges), 1 / 40)


def test_a_threshold_lies_on_an_edge():
    edges = choose_edges(spread(list(np.linspace(0, 1, 200))), [0.237])
    assert len(edges) == 41
    assert 0.237 in edges
    assert edges[0] <= 0 and edges[-1] >= 1


def test_a_near_threshold_widens_the_range_and_a_far_one_does_not():
    values = spread(list(np.linspace(0, 1, 200)))
    assert choose_edges(values, [1.4])[-1] >= 1.4
    assert choose_edges(values, [1000.0])[-1] == 1


def test_integers_get_a_bin_each_centred_on_them():
    edges = choose_edges(spread([3, 4, 4, 6], whole=True))
    assert edges.tolist() == [2.5, 3.5, 4.5, 5.5, 6.5]
    assert count_into(np.array([3.0, 4, 4, 6]), edges).tolist() == [1, 2, 0, 1]


def test_one_outlier_does_not_hide_the_rest():
    edges = choose_edges(spread([*np.linspace(0, 1, 5000), 1e9]))
    assert edges[-1] < 2
    counts = count_into(np.array([0.5, 1e9, np.nan, np.inf]), edges)
    assert (
        counts.sum() == 2 and counts[-1] == 1
    )  # beyond the range: counted in the last bin; not finite: not at all


def test_a_constant_column_has_a_range():
    edges = choose_edges(spread([2.0, 2.0]))
    assert edges[0] < 2 < edges[-1]
    assert count_into(np.array([2.0, 2.0]), edges).sum() == 2


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.13, 0.42, [0.15, 0.2, 0.25, 0.3, 0.35, 0.4]),
        (-5, 5, [-4, -2, 0, 2, 4]),
        (0, 60_000, [0, 20_000, 40_000, 60_000]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]):
    assert choose_ticks(low, high) == ticks


def test_the_threshold_is_drawn_where_its_value_lies():
    # 0.25 is a quarter of the way from 0 to 1: 46 + 464 / 4 = 162.
    assert (LEFT, PLOT_WIDTH) == (46, 464)
    assert scale_x(0.25, 0, 1) == 162
    svg = draw_histogram(
        Histogram(
            "s", tuple(np.linspace(0, 1, 5)), (0, 2, 3, 4), (5, 1, 0, 0), thresholds=(Threshold(">", 0.25),)
        )
    )
    line = re.search(r'class="threshold" data-value="([^"]+)" x1="([^"]+)" x2="([^"]+)"', svg)
    assert line is not None and line.groups() == ("0.25", "162.00", "162.00")
    assert "&gt; 0.25" in svg


def test_bars_have_the_height_of_their_counts():
    # The tallest bin holds 1 + 9 = 10 items and fills the plot: 142 units; 1 item is 14.2 of them.
    assert PLOT_HEIGHT == 142
    svg = draw_histogram(Histogram("s", (0.0, 1.0, 2.0), (9, 0), (1, 2)))
    bars = re.findall(r'class="bar (\w+)" x="[^"]+" y="([^"]+)" width="[^"]+" height="([^"]+)"', svg)
    assert bars == [
        ("dropped", f"{TOP + 142 - 14.2:.2f}", "14.20"),
        ("kept", f"{TOP:.2f}", "127.80"),
        ("dropped", f"{TOP + 142 - 28.4:.2f}", "28.40"),
    ]
    assert scale_height(1, 1_000_000) == 1.0  # never invisible
    assert scale_height(0, 1_000_000) == 0.0


def test_bins_say_their_counts():
    svg = draw_histogram(Histogram("s", (0.0, 0.5, 1.0), (1234, 0), (1, 2)))
    assert "<title>0 to 0.5: 1,234 kept, 1 dropped</title>" in svg
    undecided = draw_histogram(Histogram("s", (-0.5, 0.5), (7,), (0,), decided=False))
    assert "<title>0: 7</title>" in undecided
