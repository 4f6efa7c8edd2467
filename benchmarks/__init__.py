"""Speed and memory of the toolkit: `make bench`."""
