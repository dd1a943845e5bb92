"""What every writer of files shares: atomic writes, checksums, versions."""
