"""Adaptive search: a sampler of Optuna's proposes configurations, and the best are confirmed on fresh blocks."""
