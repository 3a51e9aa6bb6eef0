"""Readers of the forms in which labelled digits arrive: each turns its files into one `Collection`."""
