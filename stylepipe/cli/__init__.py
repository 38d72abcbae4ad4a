"""The command line: one verb a file; nothing heavy is imported until a command runs."""
