"""`make test-containers`: the image and the compose stack for real, with a worker killed in the middle of a study."""
