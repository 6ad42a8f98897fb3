"""The ground floor: paths, images, hashes, whole-or-nothing writes and the error types."""
