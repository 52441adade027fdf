//! Slack, and whatever takes its incoming webhooks (Mattermost, Rocket.Chat): `text`, in its markup.

use serde_json::{Value, json};

use super::telling::Telling;

/// Characters of a message: Slack cuts off at 40,000, and people long before that.
const TEXT_MAX: usize = 8_000;

/// The body of the request: all of these alerts in one message.
pub(super) fn body(tellings: &[Telling]) -> Value {
    let texts = tellings.iter().map(|telling| {
        let title = escaped(&telling.title());
        format!("*{title}*\n{}", escaped(&telling.text()))
    });
    let mut text: String = texts.collect::<Vec<_>>().join("\n");
    if text.len() > TEXT_MAX {
        let end = text.floor_char_boundary(TEXT_MAX);
        text.truncate(end);
        text.push_str("\n…");
    }
    json!({ "text": text })
}

/// The three characters that mean something to it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
