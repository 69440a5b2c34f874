"""A small bank: the second system of this repository, for trying the search for failures."""
