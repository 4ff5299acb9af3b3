"""The embedded suites, and the images that are drawn anew to train on."""
