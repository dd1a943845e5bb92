"""Published weight files: registry, checksums, licences, downloads on request, and the networks opened with them."""
