"""The report of a run: reads its files, writes one page, tells stories. Knows no model."""
