"""Figures show every training and the numbers of the law, nothing invented and nothing left out."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from limbeck.errors import BadData, BadSetting
from limbeck.plots import COLOURS, SHAPES, Estimate, dodge, law_figure, laws, marks, points, replication
from planted import CONFIGURATIONS, LEVELS, PLANTED, planted_fits, planted_rows


def test_gaps_are_errors_less_the_mean_reference_of_the_same_configuration() -> None:
    rows = [
        {"method": "reference", "configuration": "a", "k": None, "seed": 0, "error": 0.10},
        {"method": "reference", "configuration": "a", "k": "", "seed": 1, "error": 0.20},
        {"method": "reference", "configuration": "b", "k": None, "seed": 0, "error": 0.50},
        {"method": "dm", "configuration": "a", "k": 10, "set": 0, "seed": 0, "error": 0.40},
        {"method": "dm", "configuration": "b", "k": "10", "set": 0, "seed": 0, "error": 0.40},
        {"method": "dm", "configuration": "a", "k": 20, "set": 0, "seed": 0, "error": 9.0, "gap": 0.02},
    ]
    assert [round(point.gap, 12) for point in points(rows)] == [0.25, -0.10, 0.02]


@pytest.mark.parametrize("error", [None, math.nan, math.inf, "nan", "failed", True, [0.1]])
def test_rows_without_a_finite_number_are_not_points(error: object) -> None:
    rows = [
        {"method": "reference", "configuration": "a", "error": 0.1},
        {"method": "dm", "configuration": "a", "k": 10, "error": error},
        {"method": "dm", "configuration": "no reference", "k": 10, "error": 0.3},
        {"method": "dm", "configuration": "a", "k": 0, "error": 0.3},
    ]
    assert points(rows) == []


def test_refused_and_unbounded_ends_are_read_as_such() -> None:
    fit = {
        "method": "dm",
        "floor": {"estimate": 0.1, "low": None, "high": 0.2},
        "required_k": [{"gap": 0.05, "estimate": None, "low": 40, "high": None, "refusal": "too far"}],
        "predictions": [{"k": 20, "estimate": 0.2, "low": 0.1, "high": 0.3}, {"k": 10, "estimate": 0.3}],
    }
    (law,) = laws([fit])
    assert law.floor == Estimate(0.1, None, 0.2)
    assert law.exponent == Estimate()
    assert (law.targets[0].k, law.targets[0].refusal) == (Estimate(None, 40, None), "too far")
    assert [k for k, _ in law.curve] == [10, 20]


def test_notes_may_be_plain_text() -> None:
    (law,) = laws([{"method": "dm", "notes": ["few levels", {"code": "extrapolation", "message": "far"}]}])
    assert law.notes == (("few levels", ""), ("extrapolation", "far"))


def test_56_methods_have_56_looks_and_random_has_the_neutral_one() -> None:
    names = [f"method {place}" for place in range(56)]
    given = marks([*names[:3], "random", *names])
    assert len({given[name] for name in names}) == 56
    assert (given["random"].colour, given["random"].shape) == (0, 0)
    assert all(given[name].colour != 0 for name in names)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("place", range(len(COLOURS)))
def test_colours_stand_out_by_4_to_1_on_light_and_dark(place: int) -> None:
    for colour, ground in zip(COLOURS[place], ("#ffffff", "#142127"), strict=True):
        bright, dim = sorted([_luminance(colour), _luminance(ground)], reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4


def test_the_caption_counts_what_is_there() -> None:
    held = points(planted_rows(sets=2, seeds=3))
    trainings = len(CONFIGURATIONS) * len(PLANTED) * len(LEVELS) * 6
    assert replication(held) == f"n = {trainings} trainings: 6 values of k, 2 sets each, 3 seeds a set"
    assert "2 to 3 seeds a set" in replication(held[1:])


def test_dodging_keeps_methods_apart_and_centred() -> None:
    factors = [dodge(place, 5) for place in range(5)]
    assert math.isclose(math.prod(factors), 1)
    assert all(later / earlier > 1.02 for earlier, later in pairwise(factors))
    assert dodge(0, 1) == 1


def test_the_figure_draws_every_training_and_the_law_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **settings: seen.append(figure))
    rows, fits = planted_rows(), planted_fits(0.1)
    law_figure(fits, rows, tmp_path / "law.png", gap=0.1)
    panels = [axes for axes in seen[0].axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left").replace("\n", "") for axes in panels] == list(CONFIGURATIONS)
    held = points(rows)
    for axes, configuration in zip(panels, CONFIGURATIONS, strict=True):
        clouds = {line.get_label(): line for line in axes.get_lines() if line.get_label() in PLANTED}
        for name, cloud in clouds.items():
            own = [100 * p.gap for p in held if p.configuration == configuration and p.method == name]
            np.testing.assert_allclose(cloud.get_ydata(), own)
        # Each law is drawn solid to the largest k measured, and dashed on from there.
        lines = [
            line for line in axes.get_lines() if len(np.asarray(line.get_xdata())) > 2 and line not in clouds.values()
        ]
        solid = [np.asarray(line.get_ydata())[0] for line in lines if line.get_linestyle() == "-"]
        expected = [fit for fit in fits if fit["configuration"] == configuration]
        np.testing.assert_allclose(sorted(solid), sorted(100 * fit["curve"][0]["estimate"] for fit in expected))
        dashed = [np.asarray(line.get_ydata())[-1] for line in lines if line.get_linestyle() == "--"]
        np.testing.assert_allclose(sorted(dashed), sorted(100 * fit["curve"][-1]["estimate"] for fit in expected))
    assert "n = 1,080 trainings" in seen[0].get_supxlabel()
    assert "percentage points" in seen[0].get_supylabel()


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_figures_are_written_the_same_twice_and_survive_odd_names(tmp_path: Path, suffix: str) -> None:
    rows = [{"method": "$x_", "configuration": "a$b$^{" * 30, "k": k, "gap": 0.1, "set": 0, "seed": 0} for k in (1, 2)]
    first = law_figure([], rows, tmp_path / f"a.{suffix}").read_bytes()
    second = law_figure([], rows, tmp_path / f"b.{suffix}").read_bytes()
    assert first == second
    assert len(first) > 5000


def test_figures_refuse_what_they_can_not_draw(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no row"):
        law_figure([], [{"method": "dm", "k": 10}], tmp_path / "a.png")
    with pytest.raises(BadSetting, match=r"\.svg"):
        law_figure([], planted_rows(1, 1), tmp_path / "a.docx")


def test_every_shape_is_a_marker_of_its_own() -> None:
    assert len(set(SHAPES)) == len(SHAPES) == len(COLOURS)
