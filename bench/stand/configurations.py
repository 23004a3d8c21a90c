"""What the peers read to do what a PoP does here: send requests on to two upstreams, by model.

Each is as its own documents advise for this work: kept-alive connections to the upstreams, no
buffering of streams, one thread, no access log where one can be turned off.
"""

import json
import os

__all__ = ["envoy", "haproxy", "litellm", "nginx"]


def nginx(port: int, upstreams: tuple[int, int], *, cache: str = "") -> str:
    """A plain proxy that reads no body: the floor. With a folder, a cache keyed by the body."""
    first, second = upstreams
    zone = f"proxy_cache_path {cache} keys_zone=answers:10m;" if cache else ""
    caching = (
        "proxy_cache answers; proxy_cache_methods POST; proxy_cache_key $request_uri$request_body;"
        " proxy_cache_valid 200 1h; proxy_cache_lock on; proxy_ignore_headers Cache-Control;"
        if cache
        else "proxy_buffering off;"
    )
    user = "user root;" if os.geteuid() == 0 else ""  # or it would lose the right to its folder
    return f"""
{user} worker_processes 1; daemon off; pid nginx.pid; error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 100000000; {zone}
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream both {{
    server 127.0.0.1:{first}; server 127.0.0.1:{second};
    keepalive 512; keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://both; proxy_http_version 1.1; proxy_set_header Connection "";
      client_body_buffer_size 1m; {caching}
    }}
  }}
}}
"""


def haproxy(port: int, upstreams: tuple[int, int]) -> str:
    """By the model in the body.

    Without `http-no-delay` it holds events back for 170 ms; without `abortonclose` an upstream
    works on for a client that has left.
    """
    first, second = upstreams
    return f"""
global
  nbthread 1
  maxconn 8000
  tune.bufsize 65536
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  http-reuse always
  option http-no-delay
  option abortonclose
frontend clients
  bind 127.0.0.1:{port}
  option http-buffer-request
  http-request set-var(txn.model) req.body,json_query('$.model')
  use_backend both if {{ var(txn.model) -m str stand }}
  default_backend nowhere
backend both
  balance leastconn
  server first 127.0.0.1:{first} pool-max-conn 1000
  server second 127.0.0.1:{second} pool-max-conn 1000
backend nowhere
  http-request return status 404
"""


def litellm(upstreams: tuple[int, int], key: str, *, cache: bool = False) -> str:
    """No database, no callbacks, no retries. JSON is YAML."""
    models = [
        {
            "model_name": "stand",
            "litellm_params": {
                "model": "openai/stand",
                "api_base": f"http://127.0.0.1:{port}/v1",
                "api_key": "none",
            },
        }
        for port in upstreams
    ]
    settings: dict[str, object] = {"num_retries": 0, "request_timeout": 60, "callbacks": []}
    if cache:
        settings |= {"cache": True, "cache_params": {"type": "local", "ttl": 3600}}
    general = {"master_key": key, "dangerously_permit_weak_or_unset_master_key": True}
    return json.dumps(
        {"model_list": models, "litellm_settings": settings, "general_settings": general}
    )


_FILTERS = "type.googleapis.com/envoy.extensions.filters"


def envoy(port: int, upstreams: tuple[int, int]) -> str:
    """By the model in the body, which a filter of its own makes into metadata."""
    by_model = {
        "name": "envoy.filters.http.json_to_metadata",
        "typed_config": {
            "@type": f"{_FILTERS}.http.json_to_metadata.v3.JsonToMetadata",
            "request_rules": {
                "rules": [
                    {
                        "selectors": [{"key": "model"}],
                        "on_present": {"metadata_namespace": "stand", "key": "model"},
                    }
                ]
            },
        },
    }
    routed = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_FILTERS}.http.router.v3.Router"},
    }
    manager = {
        "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "clients",
        "http_filters": [by_model, routed],
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": _envoy_routes()}]
        },
    }
    listener = {
        "name": "clients",
        "address": _envoy_address(port),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }
    return json.dumps(
        {"static_resources": {"listeners": [listener], "clusters": [_envoy_cluster(upstreams)]}}
    )


def _envoy_address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _envoy_routes() -> list[dict[str, object]]:
    chosen = {
        "filter": "stand",
        "path": [{"key": "model"}],
        "value": {"string_match": {"exact": "stand"}},
    }
    return [
        {
            "match": {"prefix": "/", "dynamic_metadata": [chosen]},
            "route": {"cluster": "both", "timeout": "0s"},
        },
        {"match": {"prefix": "/"}, "direct_response": {"status": 404}},
    ]


def _envoy_cluster(upstreams: tuple[int, int]) -> dict[str, object]:
    bounds = {"max_connections": 10_000, "max_pending_requests": 10_000, "max_requests": 10_000}
    endpoints = [{"endpoint": {"address": _envoy_address(port)}} for port in upstreams]
    return {
        "name": "both",
        "type": "STATIC",
        "connect_timeout": "2s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [bounds]},
        "load_assignment": {"cluster_name": "both", "endpoints": [{"lb_endpoints": endpoints}]},
    }
