"""How both clients present themselves to a server, before the first call: encryption, password, database."""

import ssl

from sessions_app.engine.address import Address
from sessions_app.engine.wire import encode, pack


def introduction(address: Address) -> list[bytes]:
    """Password and database, as packed commands to be sent in one go; none is needed for a plain server."""
    options = address.options
    commands: list[list[str]] = []
    if options.get("password"):
        commands.append(["AUTH", *([options["username"]] if options.get("username") else []), options["password"]])
    if options.get("db"):
        commands.append(["SELECT", str(options["db"])])
    return [pack(map(encode, command)) for command in commands]


def tls_context(address: Address) -> ssl.SSLContext:
    """By the `ssl_…` arguments of the URL; certificates are checked unless it says otherwise."""
    options = address.options
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path"))
    context.check_hostname = str(options.get("ssl_check_hostname", True)).lower() not in ("false", "0", "no")
    if str(options.get("ssl_cert_reqs", "required")).lower() == "none":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if options.get("ssl_certfile"):
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"), options.get("ssl_password"))
    return context
