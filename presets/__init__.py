"""Presets that stylepipe ships: NAME.toml, found by name from ``--preset NAME``."""
