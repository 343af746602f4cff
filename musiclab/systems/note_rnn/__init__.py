"""The system note_rnn: the notes and chords of one instrument, continued by a GRU."""
