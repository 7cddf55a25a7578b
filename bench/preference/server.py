"""
The voting page: what a rater's browser asks of a poll, over HTTP.

Nothing without the token from the link (401), nothing from other sites' pages, no address but those below, and no
answer that names an arm. A vote is on the disk before the next pair is sent.
"""

import asyncio
import json
import re
import secrets
import unicodedata
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from bench.preference.clips import Clips
from bench.preference.poll import Poll

PAGE = Path(__file__).parent / "page"
FILES = {"/": "vote.html", "/vote.js": "vote.js", "/vote.css": "vote.css"}
LARGEST = 2_000
"""Bytes of a request's body."""
NAME = re.compile(r"\w[\w .'-]{0,39}")
SCORES = {"left": 1.0, "right": 0.0, "tie": 0.5}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; media-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Refused(Exception):
    """A request that is answered with a status and a sentence."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class VotingPage:
    """The requests of one poll. `port` keeps the cookies of two pages on one machine apart."""

    def __init__(self, poll: Poll, clips: Clips, token: str, port: int) -> None:
        self.poll, self.clips, self.token = poll, clips, token
        self.key, self.name = f"ablate-token-{port}", f"ablate-rater-{port}"

    async def page(self, request: Request) -> Response:
        """The page and its two files. The link's token becomes a cookie and leaves the address."""
        if "token" in request.query_params:
            response: Response = RedirectResponse("/", status_code=303)
            self._set(response, self.key, request.query_params["token"])
            return response
        return FileResponse(PAGE / FILES[request.url.path])

    async def enter(self, request: Request) -> Response:
        """Say who votes: a name, or none for an anonymous id."""
        name = (await body(request)).get("name", "")
        rater = f"anonymous {secrets.token_hex(4)}" if name == "" else checked_name(name)
        response = JSONResponse(await self._state(rater))
        self._set(response, self.name, quote(rater))
        return response

    async def leave(self, request: Request) -> Response:
        """Let another rater use this browser."""
        await body(request)
        response = JSONResponse({"rater": None})
        response.delete_cookie(self.name)
        return response

    async def state(self, request: Request) -> Response:
        """Where the rater stands."""
        return JSONResponse(await self._state(self._rater(request)))

    async def vote(self, request: Request) -> Response:
        """Record an answer; the next question follows when it is on the disk."""
        rater, given = self._sure_rater(request), await body(request)
        score = SCORES.get(str(given.get("answer")))
        if score is None:
            raise Refused(400, f"answer must be one of {', '.join(SCORES)}")
        self._change(self.poll.vote, rater, given, score)
        return JSONResponse(await self._state(rater))

    async def undo(self, request: Request) -> Response:
        """Take an answer back."""
        rater, given = self._sure_rater(request), await body(request)
        self._change(self.poll.undo, rater, given)
        return JSONResponse(await self._state(rater))

    async def clip(self, request: Request) -> Response:
        """One side of a pair that this rater was shown."""
        rater, task = self._sure_rater(request), self.poll.ledger.tasks.get(request.path_params["task"])
        side = request.path_params["side"]
        if task is None or task.rater != rater or task.clip is None or side not in ("left", "right"):
            raise Refused(404, "no such clip")
        shown = task.left if side == "left" else task.right
        path = await asyncio.to_thread(self.clips.path, shown, task.seed, task.clip)
        return FileResponse(path, media_type="video/mp4")

    def _change(self, change: Callable[..., None], rater: str, given: dict[str, Any], *more: float) -> None:
        task, question = given.get("task"), given.get("question")
        if not isinstance(task, str) or not isinstance(question, str):
            raise Refused(400, "task and question must be texts")
        try:
            change(rater, task, question, *more)
        except KeyError as error:
            raise Refused(404, str(error.args[0])) from error

    async def _state(self, rater: str | None) -> dict[str, Any]:
        """What the page shows, once everything before it is on the disk."""
        if rater is None:
            return {"rater": None}
        poll = self.poll
        now, last = poll.current(rater), poll.last(rater)
        await asyncio.to_thread(poll.log.sync)
        total = poll.pairs_per_rater * len(poll.subject.questions)
        state: dict[str, Any] = {"rater": rater, "answered": poll.answered(rater), "total": total}
        state["undo"] = dict(zip(("task", "question"), last, strict=True)) if last else None
        if now:
            task, question = now
            state |= {"task": task.task, "prompt": task.prompt, "question": question}
        return state

    def _rater(self, request: Request) -> str | None:
        name = unquote(request.cookies.get(self.name, ""))
        return checked_name(name) if name else None

    def _sure_rater(self, request: Request) -> str:
        rater = self._rater(request)
        if rater is None:
            raise Refused(403, "say who you are first")
        return rater

    def _set(self, response: Response, name: str, value: str) -> None:
        response.set_cookie(name, value, max_age=30 * 86400, httponly=True, samesite="strict")

    def permitted(self, request: Request) -> None:
        """Raise Refused for a request without the token, or one that another site's page made."""
        given = request.query_params.get("token") or request.cookies.get(self.key, "")
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            raise Refused(401, "this page needs the link that `ablate vote` printed, with its token")
        if request.method == "POST":
            origin = request.headers.get("origin", "")
            if origin != f"{request.url.scheme}://{request.url.netloc}":
                raise Refused(403, "votes are taken from this page only")
            if request.headers.get("content-type") != "application/json":
                raise Refused(415, "expected application/json")


Endpoint = Callable[[Request], Awaitable[Response]]


def application(page: VotingPage, host: str) -> Starlette:
    """The ASGI application, answering under the names of this machine or, where it listens to all, under any."""

    def guarded(endpoint: Endpoint) -> Endpoint:
        async def answer(request: Request) -> Response:
            try:
                page.permitted(request)
                response = await endpoint(request)
            except Refused as refusal:
                response = JSONResponse({"error": str(refusal)}, refusal.status)
            except OSError as error:
                response = JSONResponse({"error": f"votes cannot be written: {error.strerror}"}, 500)
            for name, value in HEADERS.items():
                response.headers[name] = value
            return response

        return answer

    gets: dict[str, Endpoint] = {**dict.fromkeys(FILES, page.page), "/state": page.state}
    gets |= {"/clip/{task}/{side}": page.clip, "/{rest:path}": nothing}
    posts = {"/enter": page.enter, "/leave": page.leave, "/vote": page.vote, "/undo": page.undo}
    routes = [Route(path, guarded(endpoint), methods=["POST"]) for path, endpoint in posts.items()]
    routes += [Route(path, guarded(endpoint), methods=["GET"]) for path, endpoint in gets.items()]
    names = ["*"] if host in ("0.0.0.0", "::") else [host, "127.0.0.1", "localhost", "[::1]"]  # noqa: S104 - only read
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=names)])


async def nothing(request: Request) -> Response:
    """Every other address."""
    raise Refused(404, "no such page")


async def body(request: Request) -> dict[str, Any]:
    """A request's JSON object. Raises Refused for one that is too large or anything else."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > LARGEST:
            raise Refused(413, f"a request may have {LARGEST} bytes at most")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "the request is not JSON") from error
    if not isinstance(value, dict):
        raise Refused(400, "the request is not a JSON object")
    return value


def checked_name(name: object) -> str:
    """A rater's name in one spelling. Raises Refused for what no name needs: markup, formulas, control characters."""
    text = unicodedata.normalize("NFC", name).strip() if isinstance(name, str) else ""
    if not NAME.fullmatch(text):
        raise Refused(400, "a name has up to 40 letters, digits, spaces and . ' - and begins with a letter or digit")
    return text
