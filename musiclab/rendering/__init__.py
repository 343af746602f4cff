"""What people see and hear of a roll: MIDI, a picture, sound."""
