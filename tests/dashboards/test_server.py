"""Servers of pages: where they listen, whom they answer, and what a hostile request comes to."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from musiclab.cli import main as cli
from musiclab.dashboards.address import Address
from musiclab.dashboards.server import Assets, Server, form, ranged
from musiclab.errors import UserError
from tests.support.served import ask, form_token, serving

TOKEN = "correct horse battery staple"
SOUND = bytes(range(256)) * 4


async def _hello(request: Request) -> Response:
    return PlainTextResponse(f'hello <input name="form_token" value="{request.state.form_token}">')


async def _echo(request: Request) -> Response:
    return PlainTextResponse(str(sorted((await form(request)).items())))


async def _sound(request: Request) -> Response:
    return ranged(request, SOUND, "audio/mpeg")


async def _broken(request: Request) -> Response:
    raise RuntimeError("a mistake\nof two lines")


ROUTES = [
    Route("/", _hello),
    Route("/echo", _echo, methods=["POST"]),
    Route("/sound", _sound),
    Route("/broken", _broken),
]


def _server(address: Address) -> Server:
    return Server(address, ROUTES, "Pages", Assets({"a.js": "1"}), largest_body=2000)


@pytest.fixture
def url() -> Iterator[str]:
    with serving(_server(Address("127.0.0.1", 0))) as address:
        yield address.rstrip("/")


@pytest.fixture
def guarded() -> Iterator[str]:
    """The address of a server with a token."""
    with serving(_server(Address("127.0.0.1", 0, TOKEN))) as address:
        yield address.rstrip("/")


def _port(url: str) -> str:
    return url.rpartition(":")[2]


# Where it listens.


def test_it_listens_on_this_machine_alone_unless_told_otherwise() -> None:
    assert Address.of_options("127.0.0.1", 0, None, []).token == ""
    for host in ("localhost", "127.0.0.2", "::1"):
        assert Address.of_options(host, 0, None, []).host == host


def test_a_server_that_listens_everywhere_tells_the_address_outside() -> None:
    assert Address("0.0.0.0", 0, TOKEN).url(8470) == f"http://{socket.gethostname()}:8470/"
    outside = Address("0.0.0.0", 0, TOKEN, ("studies.example.org", "localhost:9000", "localhost:9001"))
    assert outside.url(8470) == "http://localhost:9000/"
    assert Address("127.0.0.1", 0, "", ("localhost:9000",)).url(8470) == "http://127.0.0.1:8470/"


@pytest.mark.parametrize("host", ["192.168.1.7", "::", "example.org"])
def test_elsewhere_it_needs_a_token(host: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^--host {host} lets other machines in, so --token-file must name a file"):
        Address.of_options(host, 0, None, [])
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert Address.of_options(host, 0, str(file), []).token == TOKEN


@pytest.mark.parametrize("text", ["short", "", "fifteen letters", "not ascii at all: ä", "two\nlines of a token"])
def test_a_token_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="must hold a token of 16 printable ASCII characters or more") as error:
        Address.of_options("::", 0, str(file), [])
    assert not text or text not in str(error.value)
    with pytest.raises(UserError, match="cannot be read: No such file"):
        Address.of_options("::", 0, str(tmp_path / "none"), [])


def test_a_port_in_use_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            UserError, match=rf"^--port {port} is in use by another program; name another, or 0 for any"
        ):
            _server(Address("127.0.0.1", port))


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_a_host_that_is_none_of_this_machine_is_one_sentence(host: str) -> None:
    with pytest.raises(UserError, match=r"^--host must be .*an address of this machine; got '[^\n]*\.$"):
        _server(Address(host, 0, TOKEN))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "there is no 'nowhere'"),
        (["/proc"], "'/proc' holds other things"),
        (["--port", "70000"], "--port: must be a whole number from 0 to 65535; got '70000'"),
        (["--host", "10.0.0.1"], "--token-file must name a file"),
    ],
)
def test_bad_options_are_one_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        cli.run(["watch", *arguments] if not arguments[0].startswith("--") else ["watch", str(tmp_path), *arguments])
    assert said in str(error.value) and "\n" not in str(error.value)
    assert error.value.exit_code == 2


# Whom it answers.


def test_it_answers_to_its_own_names_only(url: str) -> None:
    port = _port(url)
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
        assert ask(f"{url}/", Host=host).status == 200, host
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1.evil.example:{port}",
                 f"10.0.0.1:{port}", "", f"a@127.0.0.1:{port}"):  # fmt: skip
        answer = ask(f"{url}/", Host=host)
        assert answer.status in (400, 403), host
        assert "hello" not in answer.text


def test_a_proxy_may_be_named() -> None:
    with serving(_server(Address("127.0.0.1", 0, TOKEN, ("studies.example", "b.example:8443")))) as address:
        for host in ("studies.example", f"studies.example:{_port(address.rstrip('/'))}", "b.example:8443"):
            assert ask(address, Host=host).status == 401, host
        assert ask(address, Host="c.example").status == 403


def test_a_page_of_another_server_gets_nothing(url: str) -> None:
    assert ask(f"{url}/", Origin=url).status == 200
    for origin in ("null", "http://evil.example", f"{url}.evil.example", "http://127.0.0.1:1", "file://"):
        assert ask(f"{url}/", Origin=origin).status == 403, origin
    body = f"form_token={form_token(ask(f'{url}/').text)}".encode()
    assert ask(f"{url}/echo", "POST", body, Origin=url).status == 200
    assert ask(f"{url}/echo", "POST", body, Origin="http://evil.example").status == 403


def test_a_form_must_have_the_token_of_this_server(url: str) -> None:
    token = form_token(ask(f"{url}/").text)
    assert ask(f"{url}/echo", "POST", f"a=1&form_token={token}&a=2".encode()).text.startswith("[('a', '2'), ")
    assert ask(f"{url}/echo", "POST", b"a=1", X_Form_Token=token).text == "[('a', '1')]"
    for body in (b"", b"a=1", b"form_token=", b"form_token=0123", f"form_token={token[:-1]}0".encode(), b"\xff\xfe=1"):
        answer = ask(f"{url}/echo", "POST", body)
        assert answer.status == 403
        assert "older than the server" in answer.text
    with serving(_server(Address("127.0.0.1", 0))) as other:
        assert ask(f"{other}echo", "POST", f"form_token={token}".encode()).status == 403


def test_a_large_body_is_refused_however_it_comes(url: str) -> None:
    token = form_token(ask(f"{url}/").text)
    large = f"form_token={token}&a=".encode() + b"x" * 2000
    assert ask(f"{url}/echo", "POST", large).status == 413
    assert ask(f"{url}/echo", "POST", large, Content_Length="12").status in (400, 403)
    with socket.create_connection(("127.0.0.1", int(_port(url)))) as connection:  # in pieces, without saying how many
        head = f"POST /echo HTTP/1.1\r\nHost: {url.partition('//')[2]}\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        for _ in range(5):
            connection.sendall(b"1f4\r\n" + b"x" * 500 + b"\r\n")
        assert b" 413 " in connection.recv(200)


def test_other_methods_are_refused(url: str) -> None:
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert ask(f"{url}/", method).status == 405
    assert ask(f"{url}/", "HEAD").text == ""


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/static/../../etc/passwd", "/static/x/%2e%2e%2fpasswd", "/static//etc/passwd", "/%00",
     "/static/x/a.js", "//evil.example/", "/sound/../broken/none"],
)  # fmt: skip
def test_paths_lead_nowhere_else(path: str, url: str) -> None:
    answer = ask(f"{url}{path}")
    assert answer.status == 404
    assert answer.text == "There is no such page.\n"


def test_every_answer_has_the_strict_policy(url: str) -> None:
    for answer in (ask(f"{url}/"), ask(f"{url}/none"), ask(f"{url}/", Host="evil"), ask(f"{url}/broken")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers


def test_every_page_has_an_icon_and_browsers_that_look_for_one_find_it(url: str, guarded: str) -> None:
    icon = ask(f"{url}/favicon.ico")
    assert (icon.status, icon.headers["content-type"].partition(";")[0]) == (200, "image/svg+xml")
    for server, path in ((url, "/none"), (guarded, "/")):  # a sentence, and who has not signed in
        (address,) = re.findall(r'<link rel="icon" href="(/[^"]+)"', ask(f"{server}{path}", Accept="text/html").text)
        assert ask(f"{server}{address}").text == icon.text


def test_a_mistake_of_the_program_is_a_sentence_too(url: str) -> None:
    answer = ask(f"{url}/broken")
    assert (answer.status, answer.text) == (500, "This page failed: RuntimeError: a mistake of two lines.\n")
    page = ask(f"{url}/<b>", Accept="text/html")
    assert page.status == 404
    assert "<h1>There is no such page.</h1>" in page.text


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-9", 206, SOUND[:10]), ("bytes=1000-", 206, SOUND[1000:]), ("bytes=-5", 206, SOUND[-5:]),
        ("bytes=1000-9999", 206, SOUND[1000:]), ("bytes=1024-", 416, b""), ("bytes=9-3", 416, b""),
        ("bytes=-", 200, SOUND), ("bytes=0-1,3-4", 200, SOUND), ("lines=0-1", 200, SOUND), ("", 200, SOUND),
    ],
)  # fmt: skip
def test_a_sound_comes_in_the_part_that_is_asked_for(asked: str, status: int, part: bytes, url: str) -> None:
    answer = ask(f"{url}/sound", Range=asked)
    assert (answer.status, answer.data) == (status, part)
    if status == 206:
        first, last = re.findall(r"\d+", answer.headers["content-range"])[:2]
        assert SOUND[int(first) : int(last) + 1] == part


# With a token.


def test_without_the_token_nothing_is_seen(guarded: str) -> None:
    for path in ("/", "/sound", "/none", "/broken"):
        assert ask(f"{guarded}{path}").status == 401
    page = ask(f"{guarded}/", Accept="text/html")
    assert page.status == 401
    assert 'type="password"' in page.text and "hello" not in page.text
    (style,) = re.findall(r'rel="stylesheet" href="(/static/[^"]+)"', page.text)
    assert ask(f"{guarded}{style}").status == 200


def test_who_signs_in_sees_the_pages_until_the_server_ends(guarded: str) -> None:
    page = ask(f"{guarded}/", Accept="text/html").text
    body = f"form_token={form_token(page)}&token={TOKEN.replace(' ', '+')}".encode()
    answer = ask(f"{guarded}/sign-in", "POST", body)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie, *flags = answer.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Lax"} <= set(flags)
    assert TOKEN not in answer.headers["set-cookie"]
    seen = ask(f"{guarded}/", Cookie=f"other=1; {cookie}")
    assert seen.status == 200
    # A form of this session is none of another's.
    assert ask(f"{guarded}/echo", "POST", body, Cookie=cookie).status == 403
    good = f"form_token={form_token(seen.text)}".encode()
    assert ask(f"{guarded}/echo", "POST", good, Cookie=cookie).status == 200
    for forged in (
        cookie[:-1] + ("0" if cookie[-1] != "0" else "1"),
        cookie.partition(".")[0],
        "musiclab=",
        cookie[1:],
    ):
        assert ask(f"{guarded}/", Cookie=forged).status == 401


def test_a_wrong_token_is_told_so(guarded: str) -> None:
    page = ask(f"{guarded}/sign-in").text
    answer = ask(f"{guarded}/sign-in", "POST", f"form_token={form_token(page)}&token=wrong".encode())
    assert answer.status == 403
    assert "That is not the token." in answer.text
    assert "set-cookie" not in answer.headers
    assert ask(f"{guarded}/", Authorization="Bearer wrong").status == 401


def test_a_program_sends_the_token_in_a_header(guarded: str) -> None:
    assert ask(f"{guarded}/", Authorization=f"Bearer {TOKEN}").status == 200
    assert ask(f"{guarded}/", Authorization=f"Basic {TOKEN}").status == 401
