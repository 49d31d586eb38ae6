"""Everything a machine needs to run us: the local stack, the log's set-up, the command line."""
