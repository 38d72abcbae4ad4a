"""Scenes that ``examples/render.py`` renders; each is computed, none is photographed."""
