"""Who is let in, and as whom."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

import rediq_trio as rediq
from rediq_trio.web import asgi
from rediq_trio.web.access import login_file, sessions
from rediq_trio.web.access.deciding import Access
from rediq_trio.web.access.login_file import LoginFile, line_of, read_lines
from rediq_trio.web.site.application import Site
from rediq_trio.web.site.page import Right, Visitor
from tests.web_page.visiting import asking

TOKEN = "0123456789abcdef"
PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_file, "COST", 2)
    monkeypatch.setattr(login_file, "PARALLEL", 1)


def text_of(role: str) -> str:
    return f"# ours\n{line_of('ada', PASSWORD, Right[role.upper()])}\n\nbob:*:act\n"


@pytest.fixture
def logins(tmp_path: Path) -> Path:
    path = tmp_path / "logins"
    path.write_text(text_of("change"))
    return path


def logins_text(path: Path) -> str:
    return path.read_text()


def rewrite(path: Path, text: str) -> None:
    """Write the file as editors do: a new one in place of the old."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def site_of(access: Access) -> Site:
    return Site("memory://", access=access)


async def log_in(browser, user: str = "ada", password: str = PASSWORD):  # type: ignore[no-untyped-def]
    return await browser.post("/login", data={"user": user, "password": password, "back": "/help"})


async def test_without_a_login_a_browser_on_this_machine_may_look_only() -> None:
    site = asgi("memory://")
    async with site, asking(site) as browser:
        assert "web</span>" in (await browser.get("/help")).text
        assert (await browser.get("/account")).text.count("look at everything") == 1


@pytest.mark.parametrize(
    ("address", "url", "headers", "why"),
    [
        ("192.0.2.7", "http://127.0.0.1:8080", {}, "you come from another"),
        ("127.0.0.1", "http://127.0.0.1:8080", {"X-Forwarded-For": "192.0.2.7"}, "a proxy"),
        ("127.0.0.1", "http://127.0.0.1:8080", {"Forwarded": "for=192.0.2.7"}, "a proxy"),
        ("127.0.0.1", "http://rebound.example.com:8080", {}, "not as rebound.example.com"),
    ],
)
async def test_without_a_login_whoever_may_come_from_elsewhere_is_refused(
    address: str, url: str, headers: dict[str, str], why: str
) -> None:
    site = asgi("memory://", write=True)
    async with site, asking(site, address=address, url=url, headers=headers) as browser:
        answer = await browser.get("/help")
        assert answer.status_code == 403
        assert why in answer.text
        assert "Queues" not in answer.text


@pytest.mark.parametrize(
    "url", ["http://localhost:8080", "http://[::1]:8080", "http://x.localhost"]
)
async def test_this_machine_has_more_than_one_name(url: str) -> None:
    site = asgi("memory://")
    async with site, asking(site, url=url) as browser:
        assert (await browser.get("/help")).status_code == 200


async def test_a_visitor_without_a_session_is_led_to_the_login_and_back(logins: Path) -> None:
    site = site_of(Access(logins=LoginFile(logins)))
    async with site, asking(site) as browser:
        answer = await browser.get("/help?x=1")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?back=%2Fhelp%3Fx%3D1"
        form = await browser.get(answer.headers["location"])
        assert 'value="/help?x=1"' in form.text
        assert "Queues" not in form.text
        done = await log_in(browser)
        assert (done.status_code, done.headers["location"]) == (303, "/help")
        cookie = done.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "ada" in (await browser.get("/help")).text


async def test_the_cookie_is_secure_over_https(logins: Path) -> None:
    site = site_of(Access(logins=LoginFile(logins)))
    async with site, asking(site, url="https://ops.example.com") as browser:
        assert "Secure" in (await log_in(browser)).headers["set-cookie"]


@pytest.mark.parametrize(
    ("user", "password"),
    [("ada", "wrong horse"), ("eve", PASSWORD), ("bob", "*"), ("", ""), ("ada", "")],
)
async def test_a_wrong_login_does_not_say_what_is_wrong_and_is_in_the_audit(
    logins: Path, user: str, password: str
) -> None:
    async with rediq.connect("memory://") as client:
        site = Site(client, access=Access(logins=LoginFile(logins)))
        async with site, asking(site, address="192.0.2.7") as browser:
            answer = await log_in(browser, user, password)
            assert answer.status_code == 403
            assert "The user or the password is wrong." in answer.text
            assert "rediq_session" not in answer.headers.get("set-cookie", "")
        (entry,) = await client.audit()
        assert (entry.what, entry.outcome, entry.where) == ("login", "failed", "192.0.2.7")
        assert entry.selection == {"user": user}
        assert "horse" not in repr(entry)


async def test_failed_logins_are_slowed_by_user_and_by_address(logins: Path) -> None:
    access = Access(logins=LoginFile(logins))
    site = site_of(access)
    async with site, asking(site) as here, asking(site, address="192.0.2.7") as there:
        for _ in range(9):  # the tenth is looked at after a minute
            access.slowing.failed("user ada")
        slowed = await log_in(there)  # although it is right
        assert slowed.status_code == 429
        assert "too many logins have failed" in slowed.text.lower()
        assert (await log_in(there, "carol", "wrong")).status_code == 403  # another user
        for _ in range(9):
            access.slowing.failed("address 127.0.0.1")
        assert (await log_in(here, "carol", "wrong")).status_code == 429  # another address
        access.slowing.succeeded("user ada")
        assert (await log_in(there)).status_code == 303


async def test_each_failure_of_a_login_counts_and_a_success_counts_anew(logins: Path) -> None:
    access = Access(logins=LoginFile(logins))
    site = site_of(access)
    async with site, asking(site) as browser:
        for _ in range(2):
            assert (await log_in(browser, password="wrong")).status_code == 403
        assert (await log_in(browser)).status_code == 303
        for _ in range(3):
            assert (await log_in(browser, password="wrong")).status_code == 403
        assert access.slowing.wait("user ada") > 0
        assert access.slowing.wait("address 127.0.0.1") > 0
        assert access.slowing.wait("user bob") == 0


@pytest.mark.mock_clock
async def test_the_wait_doubles_up_to_a_minute(logins: Path) -> None:
    access = Access(logins=LoginFile(logins))
    waits: list[float] = []
    for _ in range(12):
        access.slowing.failed("user ada")
        waits.append(round(access.slowing.wait("user ada")))
        await trio.sleep(waits[-1])
    assert waits == [0, 0, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]


async def test_a_flood_of_failed_logins_does_not_push_out_the_audit(logins: Path) -> None:
    async with rediq.connect("memory://") as client:
        site = Site(client, access=Access(logins=LoginFile(logins)))
        async with site.open():
            for n in range(70):
                async with asking(site, address=f"192.0.2.{n}") as browser:
                    await log_in(browser, f"user-{n}", "wrong")
        assert len(await client.audit(limit=1000)) == 60


async def test_a_session_ends_by_log_out_here_and_everywhere(logins: Path) -> None:
    site = site_of(Access(logins=LoginFile(logins)))
    async with site, asking(site) as first, asking(site) as second, asking(site) as third:
        for browser in (first, second, third):
            await log_in(browser)
        assert (await first.post("/logout")).status_code == 303
        assert (await first.get("/help")).status_code == 303
        assert (await second.get("/help")).status_code == 200
        await second.post("/logout", data={"where": "everywhere"})
        assert (await second.get("/help")).status_code == 303
        assert (await third.get("/help")).status_code == 303


@pytest.mark.mock_clock
async def test_a_session_ends_after_a_time_without_use_and_after_a_day_s_work() -> None:
    kept = sessions.Sessions()
    idle, used = kept.begin("ada", "x"), kept.begin("ada", "x")
    await trio.sleep(sessions.IDLE - 60)
    assert kept.find(used) is not None
    await trio.sleep(120)
    assert kept.find(idle) is None
    for _ in range(7):
        if kept.find(used) is None:
            break
        await trio.sleep(sessions.IDLE - 60)
    else:
        raise AssertionError("it lasts for ever")
    assert trio.current_time() >= sessions.SESSION_LASTS


async def test_the_login_file_is_read_again_when_it_changes(logins: Path) -> None:
    site = site_of(Access(logins=LoginFile(logins)))
    async with site, asking(site) as browser:
        await log_in(browser)
        assert "do everything" in (await browser.get("/account")).text
        text = logins_text(logins).replace("ada:", "# ada has left:")
        rewrite(logins, text)
        assert (await browser.get("/account")).status_code == 303
        rewrite(logins, text_of("look"))
        await log_in(browser)
        assert "look at everything" in (await browser.get("/account")).text
        rewrite(logins, logins_text(logins).replace(":look", ":change"))
        assert "do everything" in (await browser.get("/account")).text
        rewrite(logins, "nonsense\n")
        broken = await browser.get("/account")
        assert broken.status_code == 503
        assert "login file" in broken.text
        assert str(logins) not in broken.text
        assert (await log_in(browser)).status_code == 503


async def test_a_new_password_ends_the_sessions_of_the_old(logins: Path) -> None:
    site = site_of(Access(logins=LoginFile(logins)))
    async with site, asking(site) as browser:
        await log_in(browser)
        rewrite(logins, text_of("change"))  # the same password has another salt
        assert (await browser.get("/account")).status_code == 303


async def test_a_token_lets_programs_in_and_people_who_type_it() -> None:
    site = site_of(Access(token=TOKEN, token_right=Right.ACT))
    async with site, asking(site, headers={}) as browser:
        assert (await browser.get("/help")).status_code == 303
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert "look, retry" in (await browser.get("/account", headers=right)).text
        wrong = {"Authorization": f"Bearer {TOKEN}x"}
        assert (await browser.get("/account", headers=wrong)).status_code == 303
        assert ">Token</label>" in (await browser.get("/login")).text
    async with site, asking(site) as browser:
        assert (await log_in(browser, "", TOKEN)).status_code == 303
        assert "look, retry" in (await browser.get("/account")).text


async def test_a_proxy_s_header_is_believed_from_the_proxy_only(logins: Path) -> None:
    access = Access(header="X-User", proxies=["10.0.0.0/8"], logins=LoginFile(logins))
    site = site_of(access)
    named = {"X-User": "bob", "X-Forwarded-For": "192.0.2.1"}
    async with site.open():
        async with asking(site, address="10.1.2.3", headers=named) as browser:
            assert "look, retry" in (await browser.get("/account")).text
        async with asking(site, address="::ffff:10.1.2.3", headers=named) as browser:
            assert (await browser.get("/account")).status_code == 200
        async with asking(site, address="192.0.2.7", headers=named) as browser:
            assert (await browser.get("/account")).status_code == 303
        async with asking(site, address="10.1.2.3", headers={"X-User": "carol"}) as browser:
            assert "look at everything" in (await browser.get("/account")).text
        async with asking(site, address="10.1.2.3", headers={}) as browser:
            assert (await browser.get("/account")).status_code == 303


async def test_the_host_s_function_decides() -> None:
    async def authorize(request):  # type: ignore[no-untyped-def]
        match request.headers.get("x-key"):
            case "ada":
                return Visitor("ada", Right.CHANGE)
            case "look":
                return Right.LOOK
        return None

    site = asgi("memory://", authorize=authorize)
    async with site, asking(site, address="192.0.2.7", headers={}) as browser:
        assert (await browser.get("/account")).status_code == 403
        assert "do everything" in (await browser.get("/account", headers={"x-key": "ada"})).text
        assert "look at" in (await browser.get("/account", headers={"x-key": "look"})).text


async def test_the_audit_has_the_visitor_and_the_address() -> None:
    async with rediq.connect("memory://") as client:
        site = Site(client, access=Access(open_to=Right.CHANGE, name="ada"))
        async with site, asking(site, address="192.0.2.7") as browser:
            await browser.get("/help")
        assert await client.audit() == ()  # looking leaves nothing


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ada", "line 1: must be user:hash:role"),
        ("ada:secret:look", "none of scrypt"),
        ("ada:*:admin", "look, act or change"),
        ("ada:*:none", "look, act or change"),
        ("ada:*:look\nada:*:act", "line 2: the user ada has a line already"),
        ("ada:scrypt$3$8$1$AAAAAAAAAAAA$AAAA:look", "none of scrypt"),
    ],
)
def test_a_bad_line_is_named(text: str, why: str) -> None:
    with pytest.raises(rediq.ConfigError, match=why):
        read_lines(text, "logins")


@pytest.mark.parametrize("user", ["", "a:b", "a\nb", " a", "#a", "x" * 129])
def test_a_name_that_the_file_cannot_hold_is_refused(user: str) -> None:
    with pytest.raises(rediq.ConfigError, match="user"):
        line_of(user, PASSWORD, Right.LOOK)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025])
def test_a_short_or_endless_password_is_refused(password: str) -> None:
    with pytest.raises(rediq.ConfigError, match="password"):
        line_of("ada", password, Right.LOOK)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"trust_header": "X-User"}, "trust_proxy"),
        ({"trust_proxy": ["10.0.0.1"]}, "trust_header"),
        ({"trust_header": "X-User", "trust_proxy": ["proxy"]}, "trust_proxy"),
        ({"token": "short"}, "16 or more"),
        ({"login": "/nowhere/logins"}, "cannot be read"),
        ({"trace_url": "https://traces.example.com"}, "trace_id"),
        ({"trace_url": "javascript:{trace_id}"}, "https"),
        ({"base_path": "ops"}, "base_path"),
        ({"hide": "secrets"}, "payload.card"),
        ({"color": "red"}, "one of a, b, c"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(given: dict[str, object], why: str) -> None:
    with pytest.raises(rediq.ConfigError, match=why):
        asgi("memory://", **given)  # type: ignore[arg-type]
