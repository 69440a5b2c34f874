"""Reporters: handlers of the engine's event stream, and what they print for people and machines."""
