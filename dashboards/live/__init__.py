"""`musiclab watch`: pages that follow the studies of a storage while they run."""
