"""What scripts share: options that become flags, names on a command line, the process itself."""
