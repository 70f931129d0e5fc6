"""What Airflow's configuration says about callbacks, in its section ``tavus``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from airflow.providers.common.compat.sdk import conf

from airflow_provider_tavus.api.errors import ConfigurationError

SECTION = "tavus"
DEFAULT_ASSET = "tavus_conversations"

URL_PREFIX = "/tavus"
"""Where the receiver is in Airflow's API server."""

CALLBACKS_PATH = "/callbacks"
"""What follows :data:`URL_PREFIX` and precedes the token."""

SCHEMES = ("https://", "http://")

A_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,200}")


@dataclass(frozen=True)
class CallbackSettings:
    """
    What receiver, reader and operators need to know about callbacks.

    :param tokens: what a callback's URL ends in, any of them; new URLs get the first.
    :param asset: the name of the asset whose state store keeps the journal of callbacks.
    :param base_url: what Tavus reaches the API server by; None if nobody has said it.
    """

    tokens: tuple[str, ...] = field(repr=False)
    asset: str = DEFAULT_ASSET
    base_url: str | None = None

    @property
    def callback_url(self) -> str:
        """
        The URL for a new conversation; a secret.

        :raises ConfigurationError: if nobody has said what Tavus reaches the API server by.
        """
        if not self.base_url:
            raise ConfigurationError(
                "Tavus cannot be told where to send callbacks: set [tavus] callback_base_url, or [api] base_url, to "
                "the URL by which it reaches Airflow's API server."
            )
        return f"{self.base_url.rstrip('/')}{URL_PREFIX}{CALLBACKS_PATH}/{self.tokens[0]}"

    def leads_here(self, url: str | None) -> bool:
        """Say whether a conversation's callbacks go to our receiver, with whichever token."""
        path, _, token = (url or "").rpartition("/")
        return path.endswith(f"{URL_PREFIX}{CALLBACKS_PATH}") and token in self.tokens


def callback_settings() -> CallbackSettings | None:
    """
    Return what is configured, or None if callbacks are not: they are off then.

    :raises ConfigurationError: if what is configured cannot be used; no message shows a token.
    """
    tokens = tuple(token for word in _option("callback_tokens").split(",") if (token := word.strip()))
    if not tokens:
        return None
    for place, token in enumerate(tokens, start=1):
        if not A_TOKEN.fullmatch(token):
            raise ConfigurationError(
                f"Token {place} of [tavus] callback_tokens cannot be used: each must have 32 to 200 of the characters "
                "A-Z, a-z, 0-9, - and _, and none that anybody could guess. Make one with: "
                'python -c "import secrets; print(secrets.token_urlsafe(32))"'
            )
    base_url = _option("callback_base_url")
    if base_url and not base_url.startswith(SCHEMES):
        raise ConfigurationError("[tavus] callback_base_url must be a URL that begins with https://.")
    return CallbackSettings(
        tokens=tokens, asset=_option("callback_asset") or DEFAULT_ASSET, base_url=base_url or _api_base_url()
    )


def _api_base_url() -> str | None:
    base_url = conf.get("api", "base_url", fallback=None) or ""
    # Airflow itself does with a path alone: no reason not to receive what others have been told the whole URL of.
    return base_url if base_url.startswith(SCHEMES) else None


def _option(name: str) -> str:
    try:
        return (conf.get(SECTION, name, fallback=None) or "").strip()
    except Exception as fault:
        # Its own text has what the command printed, which may be a token.
        raise ConfigurationError(
            f"[tavus] {name} cannot be read ({type(fault).__name__}): see whether the command or the secrets backend "
            "that it comes from works, and restart this component of Airflow."
        ) from None
