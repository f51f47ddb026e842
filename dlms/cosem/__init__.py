"""COSEM interface classes, readable by the names of their attributes and methods."""
