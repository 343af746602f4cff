"""A waveform as an MP3 file of exactly its length."""

from typing import Any

import lameenc
import numpy as np
import numpy.typing as npt

# It holds frequencies up to 11 kHz; above that lies 1 % of the energy of songs with drums and 0.1 % of chorales.
RATE = 22_050
# In kbit/s. At this rate the result is as close to the samples as at LAME's variable bit rate of quality 7.
_BIT_RATE = 40
# LAME's fastest search; slower ones are no closer to the samples and take two to five times as long.
_QUALITY = 7
# MPEG-2 layer III with one channel: samples a frame; bytes of a frame are this x kbit/s / sampling rate.
_FRAME, _FRAME_BYTES = 576, 72_000
# By how many samples LAME delays the sound. Decoders know that they add 529 themselves.
_DELAY = 576
# The tag is a frame that plays as silence; at 64 kbit/s a frame is large enough for it.
_TAG_HEADER, _TAG_BIT_RATE = bytes.fromhex("fff380c4") + bytes(9), 64


def to_mp3(wave: npt.NDArray[np.floating[Any]]) -> bytes:
    """One channel at `RATE` as an MP3 of a constant bit rate; the same samples give the same bytes.

    An encoder puts silence before and after the samples. A tag at the beginning of the file says how much, so that
    browsers leave it out: what is heard starts in time and is as long as the samples. lameenc writes no such tag, so it
    is made here.

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
    """The frame that LAME puts at the beginning of a file; layout: gabriel.mp3-tech.org/mp3infotag.html."""
    size = _FRAME_BYTES * _TAG_BIT_RATE // RATE
    count = round(len(frames) * RATE / (_FRAME_BYTES * _BIT_RATE))
    padding = count * _FRAME - _DELAY - samples
    total = (size + len(frames)).to_bytes(4, "big")
    seek = bytes(256 * percent // 100 for percent in range(100))  # where each hundredth of the duration begins
    info = b"Info" + (0b1111).to_bytes(4, "big") + count.to_bytes(4, "big") + total + seek + bytes(4)
    # The 1 stands for constant bit rate; what is not known (filter, gain, checksums) is zero.
    lame = b"LAME3.100" + bytes([1]) + bytes(10) + bytes([_BIT_RATE]) + (_DELAY << 12 | padding).to_bytes(3, "big")
    return (_TAG_HEADER + info + lame + bytes(4) + total).ljust(size, b"\0")
