"""Lightning callbacks that serve expnet's own runs: logging, resuming, leaving in time."""
