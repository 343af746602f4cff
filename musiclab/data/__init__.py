"""Songs from files, cut into packed windows that are built once and then mapped from disk."""
