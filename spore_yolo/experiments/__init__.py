"""Chains the rooms into runs: train a detector, train a classifier, choose thresholds, evaluate; and tracks them."""
