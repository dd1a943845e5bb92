"""What touches the machine: atomic files, locks and claims, media files, launched processes, signals, full disks."""
