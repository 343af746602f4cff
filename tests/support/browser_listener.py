"""A listener at a real browser, who hears everything sixteen times as fast."""

import base64
from typing import Any

import numpy as np

from tests.support.browser import Browser
from tests.support.waiting import wait_until

FAST = "player.audio.defaultPlaybackRate = player.audio.playbackRate = 16"
RATE = 22_050
# What the browser's own decoder makes of the sounds of the presentation, as float32 in base64 by role.
_DECODED = """
const decode = async (name) => {
  const data = await source.sound(name);
  const sound = await new OfflineAudioContext(1, 1, 22050).decodeAudioData(data);
  let text = "";
  for (const byte of new Uint8Array(sound.getChannelData(0).buffer)) text += String.fromCharCode(byte);
  return [sound.numberOfChannels, btoa(text)];
};
return Promise.all(Object.values(state.names).map(decode));
"""


class BrowserListener:
    """What a person does on the pages of a listening test, and what that person sees."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser

    def wait(self, condition: str) -> Any:
        """Wait until an expression of the page is true."""
        return wait_until(lambda: self.browser.run(f"return {condition}"), condition, self._progress, poll_s=0.2)

    def _progress(self) -> Any:
        return self.browser.run(
            "return [view, player.audio.currentTime, state && state.answered, state && state.lacking]"
        )

    def agree(self, training: str = "amateur") -> None:
        """Consent, say how much training, set the volume and read how it goes."""
        self.browser.click("[data-do=agree]")
        self.browser.click(f"#training [value={training}]")
        self.browser.click("#training button")
        self.set_volume()
        self.browser.click("[data-do=begin]")
        self.wait_for_sounds()

    def set_volume(self) -> None:
        """On the page for the volume: play, and say that it is right."""
        self.wait("view === 'volume' && document.querySelector('[data-play=reference]').disabled === false")
        self.browser.run(FAST)
        self.browser.click("[data-play=reference]")
        self.wait("document.querySelector('[data-do=volume]').disabled === false")
        self.browser.click("[data-do=volume]")

    def wait_for_sounds(self) -> None:
        """Wait until a presentation can be heard."""
        self.wait("view === 'presentation' && !answered && document.querySelector('[data-play=a]').disabled === false")
        self.browser.run(FAST)

    def hear(self, *roles: str) -> None:
        """Hear sounds to their ends, by their keys."""
        for role in roles:
            self.browser.press(role)
            self.wait(f"player.heard.has('{role}') && player.audio.ended")

    def answer(self, *keys: str) -> None:
        """Answer by keys, and wait until it is kept."""
        self.browser.press(*keys)
        self.wait("document.querySelector('#after').hidden === false")

    def next(self) -> None:
        """Go on to the next presentation, past a pause; after an answer the focus is on the button for that."""
        self.browser.press("Enter")
        if self.view == "pause":
            self.browser.press("Enter")
        self.wait("view !== 'presentation' || !answered")
        if self.view == "presentation":
            self.wait_for_sounds()

    @property
    def view(self) -> str:
        return self.browser.run("return view")

    @property
    def text(self) -> str:
        """All that is visible."""
        return self.browser.run("return document.body.innerText")

    @property
    def link(self) -> str:
        return self.browser.run("return location.href")

    def decoded(self) -> list[np.ndarray]:
        """The samples of the sounds of the presentation, as this browser decodes them."""
        sounds = self.browser.run(_DECODED)
        assert all(channels == 1 for channels, _ in sounds)
        return [np.frombuffer(base64.b64decode(data), np.float32) for _, data in sounds]

    def fits(self) -> bool:
        """Whether nothing is wider than the window."""
        return self.browser.run("return document.documentElement.scrollWidth <= innerWidth")
