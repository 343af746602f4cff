"""Storage: all that lasts of studies, in a folder or at a URI that every machine of a cluster sees."""
