"""Help for cold tasks, as the ladder decides it: carried out, paid and booked."""
