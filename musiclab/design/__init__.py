"""Designs: what a study asks, as values: its fields, its space, its variants, its trials, its claims."""
