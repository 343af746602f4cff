"""A pianoroll as MIDI, as a picture and as sound."""
