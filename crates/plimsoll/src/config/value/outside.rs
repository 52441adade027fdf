//! Those outside who are told something: addresses of pages and of people, and what messages are labelled with.

use super::Scalar;
use super::word::Host;
use crate::config::shape::{Json, ScalarShape};

/// The address of a page: whole, since a pager knows no other page that it could be relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link(pub(crate) String);

impl Scalar for Link {
    const SHAPE: ScalarShape = ScalarShape {
        what: "an address of a page",
        right: "`https://wiki.example.com/runbooks/checkout`",
        json: Json::Pattern("^https?://[^\\s]+$"),
    };

    fn parse(text: &str) -> Option<Self> {
        let uri: http::Uri = text.parse().ok()?;
        let is_whole = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
        is_whole.then(|| Self(text.to_owned()))
    }

    fn render(&self) -> String {
        self.0.clone()
    }
}

/// A label of every alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label(pub(crate) (String, String));

impl Scalar for Label {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a label",
        right: "`team=payments`",
        json: Json::Pattern("^[A-Za-z_][A-Za-z0-9_]*=.+$"),
    };

    fn parse(text: &str) -> Option<Self> {
        let (name, value) = text.split_once('=')?;
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        // Those are said of each alert by itself.
        let is_free = !matches!(name, "alertname" | "objective" | "severity");
        (begins && is_plain && is_free && !value.is_empty())
            .then(|| Self((name.to_owned(), value.to_owned())))
    }

    fn render(&self) -> String {
        format!("{}={}", self.0.0, self.0.1)
    }
}

/// Where mail is handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MailServer {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Scalar for MailServer {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a mail server with its port",
        right: "`smtp.example.com:587`",
        json: Json::Pattern("^[^/:\\s]+:[0-9]+$"),
    };

    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = Host::parse(host)?;
        let port = port.parse().ok().filter(|port| *port > 0)?;
        Some(Self {
            host: Scalar::render(&host),
            port,
        })
    }

    fn render(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Somebody's address for mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mailbox(pub(crate) String);

impl Scalar for Mailbox {
    const SHAPE: ScalarShape = ScalarShape {
        what: "an address for mail",
        right: "`oncall@example.com` or `Plimsoll <plimsoll@example.com>`",
        json: Json::Pattern("^.*[^\\s]@[^\\s]+$"),
    };

    fn parse(text: &str) -> Option<Self> {
        let mailbox: lettre::message::Mailbox = text.parse().ok()?;
        Some(Self(mailbox.to_string()))
    }

    fn render(&self) -> String {
        self.0.clone()
    }
}
