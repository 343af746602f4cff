"""What surrounds a command: how it begins and ends, its streams, its folders, the order of its imports."""
