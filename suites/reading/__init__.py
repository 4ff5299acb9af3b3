"""Files on disk: finding them, their arrays, photographs and medical images of any kind."""
