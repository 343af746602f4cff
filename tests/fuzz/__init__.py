"""Hostile input, and what it may do: nothing."""
