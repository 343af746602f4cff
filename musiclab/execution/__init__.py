"""Execution: running trials, one after the other in this process or many at a time on Ray."""
