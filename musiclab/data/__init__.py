"""Songs from files, cut into packed windows that are built once and mapped from disk ever after."""
