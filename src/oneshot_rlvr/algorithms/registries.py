"""Where an algorithm's units are found by name."""

from __future__ import annotations

from oneshot_rlvr.config.spec import Registry

ADVANTAGES = Registry("advantage", "algorithm.advantage")
SURROGATES = Registry("surrogate", "algorithm.surrogate")
AGGREGATIONS = Registry("aggregation", "algorithm.aggregation")
PENALTIES = Registry("penalty", "algorithm.penalties", "penalties")
KL_ESTIMATORS = Registry("KL estimator", "algorithm.kl_estimator")
