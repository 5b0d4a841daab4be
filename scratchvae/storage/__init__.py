"""Files that are whole or absent, with a checksum for every array: what runs and models lie in."""
