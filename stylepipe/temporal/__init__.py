"""Video: flow, warping, occlusion, scene cuts, guides, and masks that hold still."""
