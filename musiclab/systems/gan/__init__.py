"""The system gan: a generator and a discriminator of windows of all tracks."""
