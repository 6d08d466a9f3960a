"""Typed notes: what a reader must know beside a number, in words and in a code that a program can test."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """Every note that the laws of a table can give; the value is what stands in JSON."""

    too_few_levels = "too_few_levels"
    few_levels = "few_levels"
    few_decades = "few_decades"
    floor_not_seen = "floor_not_seen"
    floor_not_significant = "floor_not_significant"
    floor_exponent_correlated = "floor_exponent_correlated"
    weakly_identified_exponent = "weakly_identified_exponent"
    exponent_at_bound = "exponent_at_bound"
    exponent_below_bound = "exponent_below_bound"
    exponent_changes = "exponent_changes"
    no_decay = "no_decay"
    lack_of_fit = "lack_of_fit"
    below_reference = "below_reference"
    held_at_zero = "held_at_zero"
    extrapolation = "extrapolation"
    unreachable = "unreachable"
    reached_below_smallest_k = "reached_below_smallest_k"
    set_variance_not_estimable = "set_variance_not_estimable"
    residual_variance = "residual_variance"
    zero_variance = "zero_variance"
    heteroscedastic = "heteroscedastic"
    reference_noise_dominates = "reference_noise_dominates"
    reference_noise_unknown = "reference_noise_unknown"
    reference_noise_borrowed = "reference_noise_borrowed"
    shared_seed_effect = "shared_seed_effect"
    shared_set_effect = "shared_set_effect"
    seeds_paired = "seeds_paired"
    outlier_sets = "outlier_sets"
    duplicated_rows = "duplicated_rows"
    set_missing = "set_missing"
    seed_missing = "seed_missing"
    configuration_missing = "configuration_missing"
    columns_read_as = "columns_read_as"
    columns_unused = "columns_unused"
    columns_disagree = "columns_disagree"
    failed_runs = "failed_runs"
    no_reference = "no_reference"
    means_only = "means_only"
    nothing_to_pool = "nothing_to_pool"
    left_out_of_pool = "left_out_of_pool"
    exponents_differ = "exponents_differ"
    configurations_left_out = "configurations_left_out"
    diversity_not_distinguished = "diversity_not_distinguished"
    distance_within_noise = "distance_within_noise"
    distance_not_validated = "distance_not_validated"
    distance_not_a_metric = "distance_not_a_metric"
    few_distinct_configurations = "few_distinct_configurations"
    floor_sets_worst = "floor_sets_worst"
    censored_families = "censored_families"
    reference_in_both_halves = "reference_in_both_halves"


class PathCode(StrEnum):
    """Every note on a measured path."""

    optimum_extrapolated = "optimum_extrapolated"
    path_sampled = "path_sampled"
    edge_of_stability = "edge_of_stability"


@dataclass(frozen=True)
class Note:
    """One thing to know about a result: a code for programs and a sentence for people."""

    code: StrEnum
    message: str

    def to_dict(self) -> dict[str, str]:
        """`{"code", "message"}`."""
        return {"code": self.code.value, "message": self.message}
