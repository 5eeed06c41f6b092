"""Pages without network: the look they share, and small pieces of SVG. Knows nothing drawn."""
