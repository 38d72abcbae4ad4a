"""Training: one loop for every network, and a task for each kind of network."""
