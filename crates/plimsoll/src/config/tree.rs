//! YAML text to a tree that knows where everything stands.
//!
//! Plimsoll reads the part of YAML that people mean when they write configuration: maps with text keys, lists,
//! and scalars whose type is decided by the key that reads them, so that `version: 1.10` stays `1.10` and
//! `country: no` stays `no`. Anchors, aliases and tags are refused: they let one line of a file change another
//! far away, and a small file grow without bound. JSON is YAML, and is read by the same code.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};

use super::problem::{Mark, Place, Problem};

/// One value, and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) mark: Mark,
}

/// What a value is, as far as YAML can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    /// One word or text; `quoted` keeps `"null"` from being nothing.
    Scalar {
        text: String,
        quoted: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The key of a map, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) mark: Mark,
}

/// How much text, and how much nesting, is read at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) bytes_max: usize,
    pub(crate) depth_max: usize,
}

impl Bounds {
    /// For `plimsoll.yaml`: ten thousand routes fit into 1 MiB, and the deepest key has depth 9.
    pub(crate) const CONFIG: Self = Self {
        bytes_max: 1 << 20,
        depth_max: 32,
    };
    /// For descriptions of APIs, whose schemas are long and deep.
    pub(crate) const OPENAPI: Self = Self {
        bytes_max: 32 << 20,
        depth_max: 128,
    };
}

impl Node {
    /// A map without keys, as if it had been written at `mark`.
    pub(crate) fn empty_map(mark: Mark) -> Self {
        Self {
            kind: Kind::Map(Vec::new()),
            mark,
        }
    }

    /// A value that stands in no file.
    pub(crate) fn unplaced(kind: Kind) -> Self {
        Self {
            kind,
            mark: Mark::default(),
        }
    }

    /// A scalar that stands in no file.
    pub(crate) fn scalar(text: impl Into<String>) -> Self {
        Self::unplaced(Kind::Scalar {
            text: text.into(),
            quoted: false,
        })
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// The text, if it is a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Null | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// The entries, if it is a map.
    pub(crate) fn entries(&self) -> &[(Key, Self)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            Kind::Null | Kind::Scalar { .. } | Kind::List(_) => &[],
        }
    }

    /// The items, if it is a list.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            Kind::Null | Kind::Scalar { .. } | Kind::Map(_) => &[],
        }
    }

    /// The value of `key`, if it is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find(|(k, _)| k.text == key)
            .map(|(_, value)| value)
    }

    /// Moves it down by so many lines: the text that it was read from is a part of a longer one.
    pub(crate) fn shift(&mut self, lines: usize) {
        self.mark.line += lines;
        match &mut self.kind {
            Kind::Null | Kind::Scalar { .. } => {}
            Kind::List(items) => items.iter_mut().for_each(|item| item.shift(lines)),
            Kind::Map(entries) => {
                for (key, value) in entries {
                    key.mark.line += lines;
                    value.shift(lines);
                }
            }
        }
    }

    /// What it is, in words for a message.
    pub(crate) fn describe(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Scalar { text, .. } => quote(text),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
        }
    }
}

/// The text in backquotes, cut to what fits in a message, without control characters.
pub(crate) fn quote(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let mut shown: String = text
        .chars()
        .take(SHOWN_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    format!("`{}`", shown.replace("\\\"", "\"").replace("\\'", "'"))
}

/// Reads one document. `None` if it cannot be read at all; what is wrong is added to `problems` either way.
pub(crate) fn parse(text: &str, bounds: Bounds, problems: &mut Vec<Problem>) -> Option<Node> {
    let mut builder = Builder {
        open: Vec::new(),
        root: None,
        bounds,
        problems,
    };
    if text.len() > bounds.bytes_max {
        let right = format!("at most {} bytes", bounds.bytes_max);
        builder.problem(Mark { line: 1, column: 1 }, "the text is too long", right);
        return None;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = 0;
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                builder.syntax(text, &error);
                return None;
            }
        };
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                builder.problem(
                    mark(span.start),
                    "a second document begins here",
                    "one document in a file",
                );
                return None;
            }
        }
        builder.take(event, mark(span.start))?;
    }
    // A file of comments only is an empty map: everything that has a default takes it.
    Some(
        builder
            .root
            .unwrap_or_else(|| Node::empty_map(Mark { line: 1, column: 1 })),
    )
}

/// The parser counts columns from 0, and is at line 0 before it has read anything.
fn mark(marker: Marker) -> Mark {
    Mark {
        line: marker.line().max(1),
        column: marker.col() + 1,
    }
}

/// A list or map whose end has not come yet.
enum Open {
    List(Vec<Node>, Mark),
    Map {
        entries: Vec<(Key, Node)>,
        /// Where each key stands first.
        seen: BTreeMap<String, Mark>,
        /// The key whose value comes next.
        key: Option<Key>,
        mark: Mark,
    },
}

struct Builder<'p> {
    open: Vec<Open>,
    root: Option<Node>,
    bounds: Bounds,
    problems: &'p mut Vec<Problem>,
}

impl Builder<'_> {
    fn problem(&mut self, mark: Mark, wrong: impl Into<String>, right: impl Into<String>) {
        let place = Place {
            mark,
            path: String::new(),
        };
        self.problems.push(Problem::new(&place, wrong, right));
    }

    fn syntax(&mut self, text: &str, error: &ScanError) {
        let at = mark(*error.marker());
        let tabbed = |line: &&str| line.trim_start_matches(' ').starts_with('\t');
        // The parser sees a tab as part of whatever stood before, and says so in the words of the grammar.
        let nearby = text.lines().enumerate().skip(at.line.saturating_sub(2)).take(2);
        if let Some((index, line)) = nearby.filter(|(_, line)| tabbed(line)).last() {
            let column = line.len() - line.trim_start_matches(' ').len() + 1;
            let tab = Mark {
                line: index + 1,
                column,
            };
            self.problem(tab, "a tab indents this line", "spaces, two for each level");
        } else {
            self.problem(
                at,
                format!("this is not YAML: {}", error.info()),
                "a map of `key: value` lines",
            );
        }
    }

    /// Takes one event; `None` ends the reading.
    fn take(&mut self, event: Event<'_>, at: Mark) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_reuse(anchor, tag.is_some(), at);
                let quoted = style != ScalarStyle::Plain;
                let null = !quoted && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let kind = if null {
                    Kind::Null
                } else {
                    Kind::Scalar {
                        text: text.into_owned(),
                        quoted,
                    }
                };
                self.place(Node { kind, mark: at });
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_reuse(anchor, tag.is_some(), at);
                self.push(Open::List(Vec::new(), at), at)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_reuse(anchor, tag.is_some(), at);
                self.push(
                    Open::Map {
                        entries: Vec::new(),
                        seen: BTreeMap::new(),
                        key: None,
                        mark: at,
                    },
                    at,
                )?;
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop()? {
                Open::List(items, mark) => self.place(Node {
                    kind: Kind::List(items),
                    mark,
                }),
                Open::Map { entries, mark, .. } => self.place(Node {
                    kind: Kind::Map(entries),
                    mark,
                }),
            },
            Event::Alias(_) => {
                self.problem(
                    at,
                    "an alias (`*name`) stands here",
                    "the value itself, written out",
                );
                self.place(Node {
                    kind: Kind::Null,
                    mark: at,
                });
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        Some(())
    }

    fn refuse_reuse(&mut self, anchor: usize, tagged: bool, at: Mark) {
        if anchor != 0 {
            self.problem(
                at,
                "an anchor (`&name`) stands here",
                "the value alone; nothing can refer to it",
            );
        }
        if tagged {
            self.problem(
                at,
                "a tag (`!name`) stands here",
                "the value alone; its key decides its type",
            );
        }
    }

    fn push(&mut self, open: Open, at: Mark) -> Option<()> {
        if self.open.len() >= self.bounds.depth_max {
            let wrong = format!("lists and maps are nested deeper than {}", self.bounds.depth_max);
            self.problem(at, wrong, "a flatter file");
            return None;
        }
        self.open.push(open);
        Some(())
    }

    /// Puts a finished value where it belongs: into the list or map that is open, or at the root.
    fn place(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(items, _)) => items.push(node),
            Some(Open::Map {
                entries, seen, key, ..
            }) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => match node.kind {
                    Kind::Scalar { text, .. } => {
                        let twin = seen.get(&text).copied();
                        seen.entry(text.clone()).or_insert(node.mark);
                        *key = Some(Key {
                            text: text.clone(),
                            mark: node.mark,
                        });
                        if let Some(first) = twin {
                            let wrong = format!("the key {} stands here again", quote(&text));
                            self.problem(node.mark, wrong, format!("only the one at {first}, or only this"));
                        }
                    }
                    Kind::Null | Kind::List(_) | Kind::Map(_) => {
                        *key = Some(Key {
                            text: String::new(),
                            mark: node.mark,
                        });
                        let wrong = format!("the key is {}", node.describe());
                        self.problem(node.mark, wrong, "one word");
                    }
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<Node>, Vec<String>) {
        let mut problems = Vec::new();
        let node = parse(text, Bounds::CONFIG, &mut problems);
        (node, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn values_keep_their_text_and_place() {
        let (node, problems) = read("a: 1.10\nb:\n  - no\n  - \"null\"\n  - ~\n");
        assert_eq!(problems, Vec::<String>::new());
        let node = node.unwrap();
        assert_eq!(node.get("a").unwrap().text(), Some("1.10"));
        let items = node.get("b").unwrap().items();
        assert_eq!(items[0].text(), Some("no"));
        assert_eq!(items[1].text(), Some("null"));
        assert!(items[2].is_null());
        assert_eq!(items[1].mark, Mark { line: 4, column: 5 });
    }

    #[test]
    fn json_is_read_too() {
        let (node, problems) = read("{\n\t\"a\": [1, \"\\u00e9\\/\"],\n\t\"b\": {\"c\": null}\n}");
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(node.unwrap().get("a").unwrap().items()[1].text(), Some("é/"));
    }

    #[test]
    fn what_is_refused_says_why() {
        let cases = [
            (
                "a: 1\nb: 2\na: 3\n",
                "3:1: the key `a` stands here again; right would be only the one at 1:1, or only this",
            ),
            (
                "a:\n\tb: 1\n",
                "2:1: a tab indents this line; right would be spaces, two for each level",
            ),
            (
                "a: 1\n---\nb: 1\n",
                "2:1: a second document begins here; right would be one document in a file",
            ),
            (
                "a: *b\n",
                "1:4: this is not YAML: while parsing node, found unknown anchor; right would be a map of `key: value` lines",
            ),
            (
                "a: &b 1\nc: *b\n",
                "2:4: an alias (`*name`) stands here; right would be the value itself, written out",
            ),
            ("[a, b]: 1\n", "1:1: the key is a list; right would be one word"),
        ];
        for (text, expected) in cases {
            let (_, problems) = read(text);
            assert_eq!(problems.last().map(String::as_str), Some(expected), "{text}");
        }
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let deep = "[".repeat(100);
        assert!(
            read(&deep).1[0].contains("nested deeper than 32"),
            "{:?}",
            read(&deep).1
        );
        let long = "#".repeat(Bounds::CONFIG.bytes_max + 1);
        assert!(read(&long).1[0].contains("right would be at most 1048576 bytes"));
        assert!(read(&"- ".repeat(1000)).0.is_none());
    }
}
