"""Musiclab: studies of symbolic-music generators, from real songs to an answer with error bars and sound."""

__version__ = "0.1.0"
