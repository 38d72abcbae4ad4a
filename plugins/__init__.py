"""The bundled plugins; each is written as a third party would write it."""
