"""A model judged: pairs of stories that make sense or not, templates, copies of the training text, the figures."""
