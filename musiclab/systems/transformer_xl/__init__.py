"""The system transformer_xl: tokens of all tracks, continued by a Transformer-XL."""
