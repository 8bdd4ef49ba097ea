"""Serve all scripts: options that become flags, names on a command line, the process itself."""
