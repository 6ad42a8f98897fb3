"""Training of the detector; the classifier follows."""
