"""melody_harmony_cnn: the article's CNN pair."""
