"""What is measured beside the climbing: cold tests, held-out, models, machines, forgetting."""
