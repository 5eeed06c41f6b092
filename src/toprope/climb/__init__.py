"""The loop: from settings to a finished run. Knows every room but those of the command line."""
