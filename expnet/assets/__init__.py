"""Weight files of published networks: registry, checksum, licence, where they are found, and how they are opened."""
