"""Track stores: a manifest and memory-mapped shards, in a folder or behind a URL."""
