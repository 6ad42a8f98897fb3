"""Looks at many slides: one by one, what each gave is kept, and results are written whole or not at all."""
