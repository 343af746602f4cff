"""The `musiclab` command, a module a subcommand."""
