"""The same experiments in virtual time and live, compared: how far the simulation is from real processes."""
