"""Beast."""
