"""One forward pass: device, precision, copies side by side, checks of what comes out."""
