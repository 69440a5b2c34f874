"""The run directory: written once, read with SQL."""
