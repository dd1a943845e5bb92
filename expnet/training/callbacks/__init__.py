"""Lightning callbacks of expnet's own training runs: logging, resuming, stopping on signals and on bad losses."""
