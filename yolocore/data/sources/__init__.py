"""Readers of the forms that datasets come in; each gives classes, images with their split, and objects."""
