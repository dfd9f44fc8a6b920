"""The options of all commands: flags, variables and lines of config.toml."""
