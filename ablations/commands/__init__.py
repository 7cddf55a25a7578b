"""The subcommands of `ablate`, by group. Each imports what it needs when it runs."""
