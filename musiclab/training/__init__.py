"""How systems are trained: named random streams, the fit loop with its checkpoints, batches on a device."""
