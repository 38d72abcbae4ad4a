"""Video: flow, steady masks, warping, occlusion, scene cuts, and the guide from one frame to the next."""
