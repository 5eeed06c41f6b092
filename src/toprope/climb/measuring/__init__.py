"""What a run measures beside the climbing: cold tests, held-out, forgetting, graduation."""
