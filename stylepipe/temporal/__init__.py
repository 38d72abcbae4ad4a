"""Video: warping, occlusion, scene cuts, and the guide from one frame to the next."""
