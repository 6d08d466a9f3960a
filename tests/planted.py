"""Planted results for the tests of figures and reports: every gap comes from a law that the test chose."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.figure import Figure

LEVELS = [10, 20, 50, 100, 200, 500]
# floor, amplitude at k = 10, exponent
PLANTED = {
    "random": (0.045, 0.32, 0.8),
    "k-means": (0.04, 0.2, 0.7),
    "dm": (0.035, 0.1, 0.6),
    "dc": (0.055, 0.15, 0.75),
    "mtt": (0.03, 0.12, 0.4),
}
CONFIGURATIONS = {
    "convnet(width=32)/adamw(lr=1e-3)/siamese/cosine(steps=300)": 1.0,
    "convnet(width=32)/sgd(lr=0.01, momentum=0.9)/none/cosine(steps=300)": 1.15,
    "mlp(width=128)/adamw(lr=1e-3)/none/cosine(steps=300)": 0.8,
    "lenet/sgd(lr=0.01)/none/cosine(steps=300)": 1.6,
}


def planted_gap(method: str, configuration: str, k: float) -> float:
    floor, amplitude, exponent = PLANTED[method]
    return CONFIGURATIONS[configuration] * (floor + amplitude * (k / 10) ** -exponent)


def planted_rows(sets: int = 3, seeds: int = 3) -> list[dict[str, Any]]:
    """Reference rows and one row a training, with noise of a known size between sets and between seeds."""
    noise = np.random.default_rng(7)
    rows: list[dict[str, Any]] = []
    for configuration in CONFIGURATIONS:
        rows += [
            {"method": "reference", "configuration": configuration, "k": None, "set": None, "seed": s, "error": 0.04}
            for s in range(seeds)
        ]
        for method in PLANTED:
            for k in LEVELS:
                for which in range(sets):
                    shift = 0.012 * noise.standard_normal()
                    for seed in range(seeds):
                        gap = planted_gap(method, configuration, k) + shift + 0.015 * noise.standard_normal()
                        row = {"method": method, "configuration": configuration, "k": k, "set": which, "seed": seed}
                        rows.append(row | {"error": 0.04 + gap})
    return rows


def planted_fits(target: float = 0.1) -> list[dict[str, Any]]:
    """What a perfect fit would answer, with intervals of a plain width."""
    fits = []
    for configuration, scale in CONFIGURATIONS.items():
        for method, (floor, amplitude, exponent) in PLANTED.items():
            ks = np.geomspace(10, 1500, 40)
            gaps = [planted_gap(method, configuration, k) for k in ks]
            excess = target / scale - floor
            k = 10 * (amplitude / excess) ** (1 / exponent) if excess > 0 else None
            fits.append(
                {
                    "method": method,
                    "configuration": configuration,
                    "floor": {"estimate": scale * floor, "low": 0.6 * scale * floor, "high": 1.3 * scale * floor},
                    "exponent": {"estimate": exponent, "low": exponent - 0.2, "high": exponent + 0.3},
                    "amplitude": {"estimate": scale * amplitude, "low": None, "high": None},
                    "saturation_k": {"estimate": 10 * (amplitude / floor) ** (1 / exponent), "low": 12, "high": None},
                    "required_k": [
                        {
                            "gap": target,
                            "estimate": k,
                            "low": k and 0.7 * k,
                            "high": k and (1.6 * k if excess > 0.02 else None),
                            "refusal": "" if k else "the target lies below the floor",
                        }
                    ],
                    "curve": [
                        {"k": float(k), "estimate": g, "low": g - 0.012, "high": g + 0.012 + 0.00001 * k}
                        for k, g in zip(ks, gaps, strict=True)
                    ],
                    "notes": [{"code": "weakly_identified_exponent", "message": "The interval is wider than 0.4."}],
                }
            )
    return fits


def planted_png(seed: int = 0) -> bytes:
    """A small real PNG of noise."""
    figure = Figure(figsize=(1, 1), dpi=40)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(np.random.default_rng(seed).random((10, 10)), cmap="gray")
    axes.set_axis_off()
    content = BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def planted_results() -> dict[str, Any]:
    """Every part that a report can have."""
    first = next(iter(CONFIGURATIONS))
    fits = planted_fits()
    return {
        "title": "Planted laws on generated numbers",
        "study": {
            "name": "planted",
            "source": "planted (generated, 10 classes)",
            "created": "2026-01-31",
            "command": "limbeck study run planted.toml && limbeck report planted.toml",
            "toml": 'source = "planted"\nmethods = ["random", "k-means", "dm", "dc", "mtt"]\n',
            "machine": "2 cores, no GPU",
            "versions": {"limbeck": "0.1.0", "python": "3.11"},
        },
        "plan": {
            "sentence": "For a gap of 10 points on the first configuration, dm needs 21 [15, 34] samples, mtt 31 "
            "[22, 49], k-means 51 [36, 82], random 101 [71, 161].",
            "gap": 0.1,
            "rows": [
                {"method": f["method"], "configuration": f["configuration"], **f["required_k"][0]}
                for f in fits
                if f["configuration"] == first
            ],
            "refusals": [{"code": "extrapolation", "message": "More than 10 times the largest k.", "method": "dc"}],
        },
        "rows": planted_rows(),
        "fits": fits,
        "images": [
            {"method": name, "per_class": 1, "caption": "1 per class, seed 0", "png": planted_png(place)}
            for place, name in enumerate(["random", "dm", "mtt"])
        ],
        "failures": [{"cell": "evaluate/lenet/dc/k=10/seed=2", "reason": "The loss left the finite range at step 12."}],
    }
