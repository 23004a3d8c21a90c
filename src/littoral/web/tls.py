"""The server's TLS settings: a certificate and its key, TLS 1.2 or newer, HTTP/1.1 announced."""

import ssl

from littoral.terms.errors import ConfigError

__all__ = ["server_tls"]


def server_tls(cert_file: str, key_file: str) -> ssl.SSLContext:
    """Read the certificate chain and the private key, both PEM.

    Raises:
        ConfigError: one can't be read, or they do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # An encrypted key would ask on the terminal; the empty password makes it fail instead.
        context.load_cert_chain(cert_file, key_file, password="")
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "they do not belong together or are not PEM"
        raise ConfigError(
            f"the certificate {cert_file} with the key {key_file} can't be used ({reason})",
            advice="give an unencrypted PEM key and its certificate chain",
        ) from None
    return context
