"""A system brought up live for a person, with faults applied and removed from another terminal."""
