"""Training: data in, artifact out. Imports nothing of `service`; scikit-learn is imported inside the functions
that fit."""
