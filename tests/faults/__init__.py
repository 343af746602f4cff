"""Kills, outages and damage, and what they may cost: nothing that was finished."""
