"""Networks whose functions are carried out otherwise: padding, resampling and what they share."""
