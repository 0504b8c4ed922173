"""Measurements of the toolkit itself; `analognas bench` prints them. Nothing here is public."""
