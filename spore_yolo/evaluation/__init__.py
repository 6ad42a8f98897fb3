"""Evaluation: match, recall, precision, average precision, operating points, and what people see of them."""
