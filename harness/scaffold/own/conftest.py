"""pytest imports shop.py from the directory of this file."""
