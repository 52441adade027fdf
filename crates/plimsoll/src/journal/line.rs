//! How a line is spelled.
//!
//! Fields come in the order in which they are given, the most asked-for first. In JSON whatever is in a value is
//! escaped; in text so is whatever could command a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use gateway::event::Event;
use plimsoll_slo::Class;

use super::Level;
use crate::civil;

/// For whom the lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    Count(u64),
    /// Written in milliseconds.
    Time(Duration),
    Switch(bool),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<u64> for Value<'_> {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<Duration> for Value<'_> {
    fn from(time: Duration) -> Self {
        Self::Time(time)
    }
}

impl From<bool> for Value<'_> {
    fn from(switch: bool) -> Self {
        Self::Switch(switch)
    }
}

/// A line being written.
#[derive(Debug)]
pub(super) struct Line {
    text: String,
    style: Style,
}

impl Line {
    pub(super) fn begin(style: Style, wall: Duration, level: Level, message: &str) -> Self {
        let mut line = Self {
            text: String::with_capacity(512),
            style,
        };
        let at = civil::rfc3339_millis(wall);
        match style {
            Style::Json => {
                let level = level.word();
                line.write(format_args!("{{\"ts\":\"{at}\",\"level\":\"{level}\",\"msg\":"));
                line.json(message);
            }
            Style::Text => {
                line.write(format_args!("{at} {:5} ", level.word()));
                line.plain(message);
            }
        }
        line
    }

    pub(super) fn field(&mut self, name: &str, value: &Value<'_>) {
        match self.style {
            Style::Json => self.write(format_args!(",\"{name}\":")),
            Style::Text => self.write(format_args!(" {name}=")),
        }
        match value {
            Value::Text(text) if self.style == Style::Json => self.json(text),
            Value::Text(text) => self.word(text),
            Value::Count(count) => self.write(format_args!("{count}")),
            Value::Time(time) => self.write(format_args!("{}", millis(*time))),
            Value::Switch(switch) => self.write(format_args!("{switch}")),
        }
    }

    /// The line with its end.
    pub(super) fn end(mut self) -> String {
        if self.style == Style::Json {
            self.text.push('}');
        }
        self.text.push('\n');
        self.text
    }

    fn json(&mut self, text: &str) {
        // Displaying a JSON string cannot fail, and does nothing but escape.
        self.text.push_str(&serde_json::Value::from(text).to_string());
    }

    /// A value in text: quoted when it would otherwise not read as one word.
    fn word(&mut self, text: &str) {
        let bare = !text.is_empty() && !text.contains([' ', '"', '=']);
        if bare {
            self.plain(text);
        } else {
            self.text.push('"');
            self.plain(&text.replace('"', "\\\""));
            self.text.push('"');
        }
    }

    /// Text without anything that a terminal would obey.
    fn plain(&mut self, text: &str) {
        for letter in text.chars() {
            if letter.is_control() {
                self.write(format_args!("{}", letter.escape_default()));
            } else {
                self.text.push(letter);
            }
        }
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(text);
    }
}

impl Level {
    /// The word for it in a line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// The fields of a request. What does not apply is left out.
pub(super) fn request(line: &mut Line, event: &Event) {
    let trace = &event.trace;
    line.field("request_id", &(&*event.request_id).into());
    line.field("trace_id", &format!("{:032x}", trace.trace_id).into());
    line.field("span_id", &format!("{:016x}", trace.span_id).into());
    let labels = [
        ("listener", &event.listener),
        ("route", &event.route),
        ("tier", &event.tier),
        ("upstream", &event.upstream),
        ("version", &event.version),
    ];
    for (name, label) in labels.into_iter().filter(|(_, label)| ***label != *"-") {
        line.field(name, &(&**label).into());
    }
    line.field("priority", &event.priority.word().into());
    line.field("method", &event.method.as_str().into());
    line.field("path", &(&*event.path).into());
    // Nobody was there to be answered with a status.
    if event.status != 0 {
        line.field("status", &u64::from(event.status).into());
    }
    if let Some(status) = event.grpc_status {
        line.field("grpc_status", &u64::from(status).into());
    }
    line.field("class", &event.outcome.class.word().into());
    if let Class::Bad(reason) | Class::Excluded(reason) = event.outcome.class {
        line.field("reason", &reason.code().into());
    }
    if let Some(cause) = &event.cause {
        line.field("cause", &(&**cause).into());
    }
    line.field("latency_ms", &event.outcome.latency.into());
    line.field("first_byte_ms", &event.outcome.first_byte.into());
    line.field("attempts", &u64::from(event.outcome.attempts).into());
    if event.attempts.iter().any(|attempt| attempt.hedge) {
        line.field("hedged", &true.into());
    }
    if let Some(stopped) = event.retry_stopped {
        line.field("retry_stopped", &stopped.into());
    }
    if let Some(client) = event.client {
        line.field("client", &client.to_string().into());
    }
}

/// Milliseconds with three decimals, without floating point.
fn millis(time: Duration) -> String {
    format!("{}.{:03}", time.as_millis(), time.as_micros() % 1000)
}
