"""Many machines: runs as rows that an engine tells workers of. Nothing here is imported before it is used."""
