"""Where the monitor's documents come from: feeds, files, folders and standard input."""
