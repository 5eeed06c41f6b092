"""Makes tasks out of real functions: finds them, tests them, breaks them, proves the result."""
