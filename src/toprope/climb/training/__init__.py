"""What the policy learns: rows and steps, cut so that memory holds them, and told when unsound."""
