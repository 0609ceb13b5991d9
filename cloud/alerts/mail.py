"""People who are told by mail."""

from __future__ import annotations

import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from cloud.alerts.notice import Notice
from cloud.configuration.alert_settings import MailSettings
from shared.errors import NoticeUndelivered


class MailChannel:
    """One mail to all of them for each notice."""

    def __init__(self, settings: MailSettings, address: str) -> None:
        """address: of the cloud, for a link"""
        self.name = f"mail ({settings.host})"
        self._settings = settings
        self._address = address

    def deliver(self, notice: Notice) -> None:
        settings = self._settings
        try:
            with smtplib.SMTP(settings.host, settings.port, timeout=settings.timeout_s) as server:
                if settings.starttls:
                    server.starttls(context=ssl.create_default_context(cafile=settings.ca))
                if settings.password is not None:
                    server.login(settings.user, settings.password.get_secret_value())
                refused = server.send_message(self._mail(notice))
        except (OSError, smtplib.SMTPException) as error:
            raise NoticeUndelivered(f"{type(error).__name__}: {error}") from error
        if refused:
            raise NoticeUndelivered(f"it refused {', '.join(sorted(refused))}")

    def _mail(self, notice: Notice) -> EmailMessage:
        settings, facts = self._settings, notice.facts
        mail = EmailMessage()
        # A line break would begin another header; the library refuses it, and nobody was told.
        mail["Subject"] = " ".join(f"splitsight: {notice.headline}".split())
        mail["From"] = settings.sender
        mail["To"] = ", ".join(settings.to)
        mail["Date"] = format_datetime(datetime.fromtimestamp(facts["at"], UTC))
        # Mail programs put the same thing together, and show twice what came twice as one.
        mail["Message-ID"] = f"<alert-{facts['alert']}-{facts['number']}@splitsight.invalid>"
        if facts["event"] != "raised":
            mail["References"] = f"<alert-{facts['alert']}@splitsight.invalid>"
        link = f"\n{self._address.rstrip('/')}/alerts\n" if self._address else ""
        mail.set_content(notice.text + link)
        return mail
