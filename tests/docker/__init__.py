"""What is under `docker/`, as far as it can be tested without a container."""
