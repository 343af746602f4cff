"""Golden runs: the bits and numbers that every stage computes, which decide whether the lock of the code may move."""
