"""`splitsight cloud alert`: what is wrong, and whether others would be told."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from shared import command_options as option
from shared.clock import SystemClock
from shared.console import print_json, print_table, print_text
from shared.errors import CheckFailed, NoticeUndelivered, SettingsError
from shared.format import date

if TYPE_CHECKING:
    from cloud.alerts.notice import Channel
    from cloud.configuration.settings import CloudSettings

alert = option.group("What is wrong, and how others are told of it.")


@alert.command("list")
def list_(config: option.Config, format_: option.Format = "text") -> None:
    """Local: print the alerts that are open, those that nobody has acknowledged first."""
    with option.needs_extra("cloud"):
        from cloud.alerts.board import AlertBoard  # noqa: PLC0415
        from cloud.configuration.settings import load_cloud_settings  # noqa: PLC0415
        from cloud.records.database import Database  # noqa: PLC0415
    database = Database(load_cloud_settings(config).database)
    try:
        found = AlertBoard(database, SystemClock()).open()
    finally:
        database.close()
    if format_ == "json":
        print_json([one.model_dump() for one in found])
        return
    rows = [
        {
            "alert": one.title,
            "where": " / ".join(step for step in (one.site, one.line, one.device) if step),
            "state": one.state,
            "since": date(one.began_at),
            "says": one.says,
        }
        for one in found
    ]
    print_table("open alerts", rows)


@alert.command()
def test(config: option.Config) -> None:
    """Network: send a test notice by every channel of the configuration, and say how it went."""
    with option.needs_extra("cloud"):
        from cloud.alerts.notice import trial_notice  # noqa: PLC0415
        from cloud.configuration.settings import load_cloud_settings  # noqa: PLC0415
    settings = load_cloud_settings(config)
    failed = 0
    with _opened(settings) as channels:
        if not channels:
            raise SettingsError(
                f"{config.name} names no channel under `alerts`",
                fix="set alerts.webhooks, alerts.mail or alerts.mqtt",
            )
        for channel in channels:
            try:
                channel.deliver(trial_notice(channel.name, SystemClock().utc()))
            except NoticeUndelivered as error:
                failed += 1
                print_text(f"{channel.name}: not delivered ({error.message})")
            else:
                print_text(f"{channel.name}: delivered")
    if failed:
        raise CheckFailed(
            f"{failed} of {len(channels)} channels did not deliver",
            fix="see what each says above, and `alerts` in the configuration",
        )


@contextmanager
def _opened(settings: CloudSettings) -> Iterator[list[Channel]]:
    from cloud.alerts.assembly import channels  # noqa: PLC0415
    from shared.transport.mqtt import MqttTransport  # noqa: PLC0415

    if not settings.alerts.mqtt.enabled:
        yield channels(settings.alerts, None, SystemClock())
        return
    transport = MqttTransport(settings.broker, f"cloud-alert-{secrets.token_hex(4)}")
    transport.start()
    try:
        transport.wait_until_connected(settings.broker.connect_timeout_s)
        yield channels(settings.alerts, transport, SystemClock())
    finally:
        transport.stop()
