"""Samples as an MP3 file that begins and ends where they do."""

import lameenc
import numpy as np

# Of what is played in songs with drums, 1 % of the energy lies above the 11 kHz that this holds, in chorales 0.1 %.
RATE = 22_050
# kbit/s: one channel of 22,050 Hz then differs no more from the samples than at LAME's variable rate of quality 7.
_BIT_RATE = 40
# The fastest of LAME's searches; slower ones differ from the samples as much and take two to five times as long.
_QUALITY = 7
# Of MPEG-2 layer III, with one channel: samples a frame, and bytes a second for each kbit/s in a frame.
_FRAME, _FRAME_BYTES = 576, 72_000
# How many samples late LAME is. Those that a decoder is late by, 529, are the decoder's own to know.
_DELAY = 576
# The tag is a frame that plays as silence; at 64 kbit/s it has the room.
_TAG_HEADER, _TAG_BIT_RATE = bytes.fromhex("fff380c4") + bytes(9), 64


def to_mp3(wave: np.ndarray) -> bytes:
    """One channel at `RATE` as an MP3 of a constant bit rate; the same samples give the same bytes.

    A tag in front of it says what the encoder put before and after the samples: browsers leave that out, so what is
    heard is as long as the samples, and on time. lameenc writes no such tag.

    Args:
        wave: float `(sample,)` between -1 and 1, one sample at least.
    """
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(1)
    encoder.set_in_sample_rate(RATE)
    encoder.set_bit_rate(_BIT_RATE)
    encoder.set_quality(_QUALITY)
    samples = np.rint(np.clip(wave, -1, 1) * 32767).astype("<i2")
    frames = bytes(encoder.encode(samples.tobytes())) + bytes(encoder.flush())
    return _tag(frames, len(wave)) + frames


def _tag(frames: bytes, samples: int) -> bytes:
    """The frame that LAME puts in front of a file, laid out as in gabriel.mp3-tech.org/mp3infotag.html."""
    size = _FRAME_BYTES * _TAG_BIT_RATE // RATE
    count = round(len(frames) * RATE / (_FRAME_BYTES * _BIT_RATE))
    padding = count * _FRAME - _DELAY - samples
    total = (size + len(frames)).to_bytes(4, "big")
    seek = bytes(256 * percent // 100 for percent in range(100))  # where each hundredth of the time begins
    info = b"Info" + (0b1111).to_bytes(4, "big") + count.to_bytes(4, "big") + total + seek + bytes(4)
    # The method is constant bit rate; zeros stand for all that is not known: filter, gain, checksums.
    lame = b"LAME3.100" + bytes([1]) + bytes(10) + bytes([_BIT_RATE]) + (_DELAY << 12 | padding).to_bytes(3, "big")
    return (_TAG_HEADER + info + lame + bytes(4) + total).ljust(size, b"\0")
