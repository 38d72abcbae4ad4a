"""Many paintings side by side: variants of settings, contact sheets, and pages."""
