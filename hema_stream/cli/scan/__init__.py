"""A scanner that is not there: a picture cut into fields, and what may go wrong on the way."""
