"""Maintenance: checks of an installation and a storage, and removal of what a storage no longer needs."""
