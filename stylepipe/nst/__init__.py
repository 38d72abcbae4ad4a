"""The mathematics of style transfer: encoders, losses, networks and their training.

Nothing in here knows of files to convert, of jobs or of the command line.
"""
