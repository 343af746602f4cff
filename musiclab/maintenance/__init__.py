"""Maintenance: what can be wrong with an installation and a storage, and what a storage can do without."""
