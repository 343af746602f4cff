"""The pages of the stack as a person sees them: a real browser, at the published ports."""

import tempfile
from pathlib import Path

from tests.containers.stack import Stack
from tests.containers.tools import OUT
from tests.support.browser import Browser, browsing
from tests.support.waiting import wait_until

_TEXT = "return document.body.innerText"
_FIELD = "document.querySelector('input[name=token]')"


def look(stack: Stack, comparison: str) -> list[str]:
    """Open MLflow's compare page and the pages of `musiclab watch`; the screenshots' names.

    Args:
        stack: it is up, and a study is over.
        comparison: the link that the study has printed.
    """
    with tempfile.TemporaryDirectory() as profile, browsing(Path(profile), 1400, 1000, "--no-proxy-server") as browser:
        browser.visit(comparison)
        wait_until(lambda: _has(browser, "latent_dim=8", "latent_dim=64", "set/frechet"), "MLflow's compare page")
        _shoot(browser, "mlflow")
        browser.visit(stack.url("PAGES_PORT"))
        wait_until(
            lambda: browser.run("return document.querySelector('input[name=token]') !== null"), "the sign-in page"
        )
        _shoot(browser, "sign-in")
        browser.run(
            f"const field = {_FIELD}; field.value = arguments[0]; field.form.submit()",
            stack.environment["PAGES_TOKEN"],
        )
        wait_until(lambda: _has(browser, "latent_dim"), "the list of studies")
        browser.visit(f"{stack.url('PAGES_PORT')}/studies/latent_dim")
        wait_until(lambda: browser.run("return document.querySelectorAll('#curves svg').length"), "the curves")
        _shoot(browser, "watch")
    return ["mlflow.png", "sign-in.png", "watch.png"]


def _has(browser: Browser, *words: str) -> bool:
    text = browser.run(_TEXT)
    return all(word in text for word in words)


def _shoot(browser: Browser, name: str) -> None:
    browser.screenshot(OUT / f"{name}.png")
