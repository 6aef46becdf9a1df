"""`rediq web`: the web page, and lines for its file of logins."""

from __future__ import annotations

import argparse
import getpass
import os
import sys

import attrs
import trio

from rediq_trio._errors import ConfigError
from rediq_trio.cli.flags import AddParser, common_flags, port_flag
from rediq_trio.cli.operate.person import person
from rediq_trio.cli.statuses import DONE
from rediq_trio.cli.stop_signals import Stop, stop_signals
from rediq_trio.settings import settle_settings
from rediq_trio.store.urls import default_url, redacted, scheme_of, server_of
from rediq_trio.values.hiding import VARIABLE
from rediq_trio.web import asgi

TOKEN_VARIABLE = "REDIQ_WEB_TOKEN"
ROLE_CHOICES = ("look", "act", "change")


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Serve the web page: what the queues do, live, and what to do about it. Without a login "
        "it is for this machine only, and read-only without --write.",
    )
    parser.add_argument(
        "--host", metavar="ADDRESS", default="127.0.0.1", help="where to listen (127.0.0.1)"
    )
    parser.add_argument(
        "--port",
        metavar="N",
        type=port_flag,
        default=8080,
        help="its port, 0 for a free one (8080)",
    )
    common_flags(parser, "url", "key_prefix")
    parser.add_argument(
        "--name",
        metavar="ENV",
        default="",
        help="the environment, like production: at the top of each page",
    )
    parser.add_argument(
        "--color", choices=("a", "b", "c"), default="a", help="its color: plum, teal or brass (a)"
    )
    _access_flags(parser)
    parser.set_defaults(execute=execute)
    return parser


def _access_flags(parser: argparse.ArgumentParser) -> None:
    """Add what says who may do what, and what they see."""
    parser.add_argument(
        "--write", action="store_true", help="let those without a role change things"
    )
    parser.add_argument("--login", metavar="FILE", help="who may log in: lines of user:hash:role")
    parser.add_argument(
        "--trust-header",
        metavar="NAME",
        default="",
        help="the header in which a proxy names the user, like X-User",
    )
    parser.add_argument(
        "--trust-proxy",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="believe that header from here, like 10.0.0.0/8; may be repeated",
    )
    parser.add_argument(
        "--trace-url", metavar="URL", default="", help="where traces are, with {trace_id} in it"
    )
    parser.add_argument(
        "--hide",
        metavar="PATHS",
        default=os.environ.get(VARIABLE, ""),
        help=f"what not to show, like payload.card,**.password ({VARIABLE})",
    )
    parser.add_argument(
        "--base-path",
        metavar="PATH",
        default="",
        help="where a proxy has the page, like /ops/rediq",
    )
    parser.add_argument(
        "--add-user",
        metavar="NAME",
        help="only print a line for FILE; asks for the password, or reads it from standard input",
    )
    parser.add_argument(
        "--role", choices=ROLE_CHOICES, default="look", help="the role of --add-user (look)"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Serve until a signal; return the status."""
    asgi("memory://")  # raises without the extra
    if arguments.add_user is not None:
        return print_login(arguments.add_user, arguments.role)
    url = arguments.url or default_url()
    if scheme_of(url) == "memory":
        bound = "that of a server: what is in memory:// ends with its process"
        raise ConfigError.of("url", url, bound)
    given = {} if arguments.key_prefix is None else {"key_prefix": arguments.key_prefix}
    prefix = settle_settings(given).key_prefix
    return trio.run(WebPage(arguments, url, prefix).run)


@attrs.frozen(eq=False)
class WebPage:
    """The page as it is served by the command."""

    options: argparse.Namespace
    url: str
    key_prefix: str

    async def run(self) -> int:
        """Serve until a signal."""
        async with stop_signals() as (stop, _):
            await self.serve(stop)
        return DONE

    async def serve(self, stop: Stop, *, also: str = "") -> None:
        """Serve until a stop is asked for; raise `ConfigError` for an address that is too open."""
        options = self.options
        token = os.environ.get(TOKEN_VARIABLE, "")
        from rediq_trio.web.site.opening import open_site, opened_patiently
        from rediq_trio.web.site.serving import listen, resolves_to_loopback, serve_site, url_of

        known = options.login or token or options.trust_header
        if not known and not resolves_to_loopback(options.host):
            raise ConfigError(
                f"--host {options.host}: everybody who reaches it could look at all tasks; say who may with "
                f"--login FILE, {TOKEN_VARIABLE} or --trust-header, or listen on 127.0.0.1"
            )
        site = open_site(
            self.url,
            name=options.name or default_name(self.url),
            color=options.color,
            key_prefix=self.key_prefix,
            write=options.write,
            login=options.login,
            token=token,
            trust_header=options.trust_header,
            trust_proxy=options.trust_proxy,
            authorize=None,
            hide=options.hide,
            trace_url=options.trace_url,
            base_path=options.base_path,
            user=person(),
        )
        with listen(options.host, options.port) as listener:
            async with opened_patiently(site) as reached:
                where = url_of(options.host, listener, options.base_path.rstrip("/"))
                may = (
                    ""
                    if known
                    else ", for this machine only"
                    + ("" if options.write else ", read-only without --write")
                )
                print(
                    f"rediq: {where} shows {redacted(self.url)}{'' if reached else ' once it is reached'}{may}; "
                    f"Ctrl-C ends it{also}",
                    file=sys.stderr,
                    flush=True,
                )
                await serve_site(site, listener, stop.asked.wait)


def default_name(url: str) -> str:
    """Return what to call an environment that has no name: the host of its server."""
    host = (server_of(url) or ("local", None))[0]
    return "local" if host in ("localhost", "127.0.0.1", "::1") or host.startswith("/") else host


def print_login(user: str, role: str) -> int:
    """Print a line for the file of logins."""
    from rediq_trio.web.access.login_file import line_of
    from rediq_trio.web.site.page import Right

    if sys.stdin.isatty():
        password = getpass.getpass(f"Password of {user}: ")
        if getpass.getpass("Once more: ") != password:
            raise ConfigError("the two passwords differ; nothing was printed")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    print(line_of(user, password, Right[role.upper()]))
    return DONE
