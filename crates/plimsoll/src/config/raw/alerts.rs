//! Who is told when an objective calls somebody, and how.

use std::path::PathBuf;
use std::time::Duration;

use super::OutboundTls;
use crate::config::read::At;
use crate::config::stanza::{stanza, words};
use crate::config::value::outside::{Label, Link, MailServer, Mailbox};
use crate::config::value::word::{EnvName, Name};

stanza! {
    /// Who is told when an objective calls somebody, and how.
    Alerts {
        /// Where people find the port for operators: what messages link to.
        address: Option<Link> = "null";
        /// Labels of every alert, as `name=value`: what routes it on at the other end.
        labels: Vec<At<Label>> = "[]";
        /// Whom to tell. With none, alerts are in the log, on the status page and in `/metrics`.
        targets: Vec<AlertTarget> = "[]";
        /// Somebody who is told that all is well, and calls for help when that ends.
        heartbeat: Option<Heartbeat> = "null";
    }
}

stanza! {
    /// One who is told of alerts.
    AlertTarget {
        /// A name of its own: a label.
        name: Name;
        /// What it is.
        kind: TargetKind;
        /// What it is told of.
        calls: Vec<At<CallsWord>> = "[page, ticket]";
        /// Its address: of Alertmanager without `/api/v2`, of a webhook as it is; of PagerDuty if it is not the usual one.
        url: Option<Link> = "null";
        /// File with its secret: the whole address of a Slack webhook, PagerDuty's routing key, what a webhook is signed with, the password of a mail server, a bearer token for Alertmanager.
        secret_file: Option<PathBuf> = "null";
        /// Environment variable with that secret.
        secret_env: Option<EnvName> = "null";
        /// How mail goes out, for `email`.
        email: Option<Email> = "null";
        /// How it is verified where TLS is spoken.
        tls: Option<OutboundTls> = "null";
    }
}

words! {
    /// What a target is.
    TargetKind {
        /// Prometheus's Alertmanager, by its API v2.
        Alertmanager = "alertmanager",
        /// An incoming webhook of Slack, or of what speaks like it.
        Slack = "slack",
        /// PagerDuty, by its Events API v2.
        PagerDuty = "pagerduty",
        /// Anybody who takes JSON; signed by the Standard Webhooks specification.
        Webhook = "webhook",
        /// Mail, by SMTP.
        Email = "email",
    }
}

words! {
    /// What calls somebody.
    CallsWord {
        /// Whoever is on call, now.
        Page = "page",
        /// Somebody, in working hours.
        Ticket = "ticket",
    }
}

stanza! {
    /// How mail goes out.
    Email {
        /// The server that takes it.
        server: MailServer;
        /// How the connection to it is protected.
        security: Security = "starttls";
        /// Who it is from.
        from: Mailbox;
        /// Who it is for.
        to: Vec<At<Mailbox>>;
        /// Who we are to the server; the secret is the password.
        user: Option<String> = "null";
    }
}

words! {
    /// How the connection to a mail server is protected.
    Security {
        /// TLS after it was asked for; without it nothing is sent.
        Starttls = "starttls",
        /// TLS from the first byte.
        Tls = "tls",
        /// Not at all.
        Off = "off",
    }
}

stanza! {
    /// Somebody who is told that all is well, by a POST, and calls for help when that ends: a dead man's switch.
    Heartbeat {
        /// The address that is posted to.
        url: Option<Link> = "null";
        /// File with that address, if it is a secret.
        url_file: Option<PathBuf> = "null";
        /// Environment variable with that address.
        url_env: Option<EnvName> = "null";
        /// How often.
        every: Duration = "1m", from "10s" to "1h";
    }
}
