"""How a model acts in a task: what it is shown, and how its text becomes edits."""
