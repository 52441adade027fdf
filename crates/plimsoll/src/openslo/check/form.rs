//! The form of values: what a field may be, whatever others say.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::super::Shorthand;
use super::super::schema::{Field, Form};
use super::Checking;
use crate::config::near::nearest;
use crate::config::tree::{Kind, Node};

/// Characters of a description.
const DESCRIPTION_MAX: usize = 1_050;

/// What a scalar has to be: a test, what it is called, and what would be right.
type Wanted = (fn(&str) -> bool, &'static str, &'static str);

/// `None` for what is no scalar, and for words.
fn wanted(form: &Form) -> Option<Wanted> {
    let wanted: Wanted = match form {
        Form::Text => (|_| true, "a text", "a text"),
        Form::Description => (
            |text| text.chars().count() <= DESCRIPTION_MAX,
            "a text of up to 1,050 characters",
            "a shorter one",
        ),
        Form::Label => (
            is_label,
            "a DNS label",
            "up to 63 of `a-z`, `0-9` and `-`, such as `checkout`",
        ),
        Form::Number => (
            |text| text.parse::<f64>().is_ok_and(f64::is_finite),
            "a number",
            "a number such as `0.995`",
        ),
        Form::Truth => (
            |text| matches!(text, "true" | "false"),
            "a truth value",
            "`true` or `false`",
        ),
        Form::Shorthand => (
            |text| Shorthand::parse(text).is_some(),
            "a duration",
            "a number and one of m (minutes), h, d, w, M (months), Q, Y, such as `28d`",
        ),
        Form::Slice => (
            |text| Shorthand::parse(text).is_some() || text.parse::<u32>().is_ok_and(|minutes| minutes > 0),
            "a duration, or a number of minutes",
            "`1m`, `5m` or `1h`",
        ),
        Form::Zone => (
            |text| TimeZone::get(text).is_ok(),
            "a time zone of the IANA database",
            "`UTC` or `Europe/London`",
        ),
        Form::Civil => (
            |text| civil(text).is_some(),
            "a date and time without a zone",
            "`2026-01-01 00:00:00`",
        ),
        Form::Words(_) | Form::Labels | Form::Annotations | Form::Anything | Form::Map(_) | Form::List(_) => {
            return None;
        }
    };
    Some(wanted)
}

impl Checking<'_> {
    pub(super) fn map(&mut self, node: &Node, fields: &[Field]) {
        if !matches!(node.kind, Kind::Map(_)) {
            self.wrong(node.mark, format!("{} is not a map", node.describe()), "a map");
            return;
        }
        for (key, value) in node.entries() {
            self.path.push(format!(".{}", key.text));
            if let Some(field) = fields.iter().find(|field| field.name == key.text) {
                self.form(value, &field.form);
            } else {
                let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
                let wrong = format!("the field `{}` is not known here", key.text);
                self.wrong(key.mark, wrong, right_of(&key.text, &names));
            }
            self.path.pop();
        }
        for field in fields.iter().filter(|field| field.is_needed) {
            if node.get(field.name).is_none_or(Node::is_null) {
                let wrong = format!("`{}` is missing", field.name);
                self.wrong(node.mark, wrong, format!("a `{}` here", field.name));
            }
        }
    }

    fn form(&mut self, node: &Node, form: &Form) {
        if node.is_null() {
            // As if it were not there, which is another matter.
            return;
        }
        match form {
            Form::Anything => {}
            Form::Map(fields) => self.map(node, fields),
            Form::List(of) => self.list(node, of),
            Form::Labels => self.texts(node, true),
            Form::Annotations => self.texts(node, false),
            Form::Words(words) => {
                if !node.text().is_some_and(|text| words.contains(&text)) {
                    let right = right_of(node.text().unwrap_or_default(), words);
                    let wrong = format!("{} is not a word that is known here", node.describe());
                    self.wrong(node.mark, wrong, right);
                }
            }
            scalar => {
                if let Some((fits, what, right)) = wanted(scalar)
                    && !node.text().is_some_and(fits)
                {
                    self.wrong(node.mark, format!("{} is not {what}", node.describe()), right);
                }
            }
        }
    }

    fn list(&mut self, node: &Node, of: &Form) {
        if !matches!(node.kind, Kind::List(_)) {
            let right = "a list, each item with a `-`";
            self.wrong(node.mark, format!("{} is not a list", node.describe()), right);
            return;
        }
        for (index, item) in node.items().iter().enumerate() {
            self.inside(format!("[{index}]"), |checking| checking.form(item, of));
        }
    }

    /// Labels and annotations.
    fn texts(&mut self, node: &Node, may_be_lists: bool) {
        if !matches!(node.kind, Kind::Map(_)) {
            let wrong = format!("{} is not a map", node.describe());
            self.wrong(node.mark, wrong, "keys with texts");
            return;
        }
        for (key, value) in node.entries() {
            self.path.push(format!(".{}", key.text));
            let parts = key.text.rsplit_once('/').filter(|_| !may_be_lists);
            if !is_key(parts.map_or(&*key.text, |(_, name)| name)) {
                let right = "up to 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends";
                self.wrong(key.mark, format!("`{}` is no key", key.text), right);
            }
            let is_list = may_be_lists && matches!(value.kind, Kind::List(_));
            let all_texts = is_list && value.items().iter().all(|item| item.text().is_some());
            if value.text().is_none() && !all_texts {
                let right = if may_be_lists {
                    "a text, or a list of texts"
                } else {
                    "a text"
                };
                self.wrong(value.mark, format!("{} is not a text", value.describe()), right);
            }
            self.path.pop();
        }
    }
}

/// The word that was meant, or all that there are.
pub(super) fn right_of(word: &str, known: &[&str]) -> String {
    nearest(word, known.iter().copied()).map_or_else(
        || format!("one of {}", known.join(", ")),
        |near| format!("`{near}`"),
    )
}

/// RFC 1123.
pub(super) fn is_label(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(is_inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_key(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let ends = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
    (1..=63).contains(&text.len())
        && text.bytes().all(is_inner)
        && ends(text.chars().next())
        && ends(text.chars().next_back())
}

/// A date and time without a zone.
pub(in super::super) fn civil(text: &str) -> Option<DateTime> {
    DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()
}
