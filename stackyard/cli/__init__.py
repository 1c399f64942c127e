"""The command line: typer and rich, a module for each command, a few statements each."""
