"""What the configuration says of the wire protocols, as the limits that each of them takes.

HTTP/2 and WebSocket are loaded with their first connection: a server without any is to be small.
"""

from typing import TYPE_CHECKING, Any

from tidegate.config import Config
from tidegate.http1.limits import H1Limits

if TYPE_CHECKING:
    from tidegate.gateway.websocket import WebSocketSettings
    from tidegate.http2.limits import H2Limits


def _common(config: Config, max_content: int) -> dict[str, Any]:
    """What HTTP has in any version."""
    limits, timeouts = config.limits, config.timeouts
    return {
        "max_fields": limits.fields,
        "max_content": max_content,
        "max_trailers": limits.trailers,
        "head_timeout": timeouts.head,
        "body_rate": timeouts.min_body_rate,
        "body_window": timeouts.body_rate_window,
        "shutdown_idle": timeouts.shutdown_idle,
    }


def http1_limits(config: Config, max_content: int) -> H1Limits:
    limits, timeouts = config.limits, config.timeouts
    return H1Limits(
        **_common(config, max_content),
        max_request_line=limits.request_line,
        max_head=limits.head,
        max_pipelined=limits.pipelined,
        max_unread=limits.read_buffer,
        max_drain=limits.drain,
        idle_timeout=timeouts.idle,
        keep_alive_timeout=timeouts.keep_alive,
    )


def http2_limits(config: Config, max_content: int) -> "H2Limits":
    from tidegate.http2.limits import H2Limits

    limits, timeouts = config.limits, config.timeouts
    return H2Limits(
        **_common(config, max_content),
        max_streams=limits.h2_streams,
        max_header_list=limits.head,
        max_target=limits.request_line,
        max_frame=limits.h2_frame,
        window=limits.h2_window,
        max_window=max(limits.h2_window, limits.h2_max_window),
        connection_window=limits.h2_connection_window,
        write_buffer=limits.write_buffer,
        max_resets=limits.h2_resets,
        max_control=limits.h2_control,
        settings_timeout=timeouts.h2_settings,
        idle_timeout=timeouts.keep_alive,
        ping_interval=timeouts.h2_ping or 0.0,
        ping_timeout=timeouts.h2_ping_answer,
        write_timeout=timeouts.write,
    )


def websocket_settings(config: Config) -> "WebSocketSettings":
    from tidegate.gateway.websocket import WebSocketSettings
    from tidegate.websocket.connection import WebSocketLimits

    options = config.websockets
    limits = WebSocketLimits(
        max_message=options.max_size,
        max_frames=options.max_frames,
        max_empty_frames=options.max_empty_frames,
        ping_interval=options.ping_interval or 0.0,
        ping_timeout=options.ping_timeout or 0.0,
        close_timeout=options.close_timeout,
    )
    return WebSocketSettings(
        limits,
        window_bits=options.deflate_window_bits if options.per_message_deflate else 0,
        takeover=options.deflate_takeover,
        level=options.deflate_level,
        mem_level=options.deflate_mem_level,
        min_text=options.deflate_min_text,
        min_binary=options.deflate_min_binary,
        max_queue=options.max_queue,
        max_queued=options.max_queue_size,
        handshake_timeout=options.handshake_timeout or 0.0,
    )
