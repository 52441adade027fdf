//! From a tree to typed values, without stopping at what is wrong.
//!
//! Reading never fails as a whole: a value that cannot be read is reported and its default taken, so that
//! everything else, cross checks included, is still looked at.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::Deref;

use super::near::nearest;
use super::problem::{Mark, Place, Problem};
use super::shape::Shape;
use super::tree::{self, Bounds, Key, Kind, Node, quote};

/// A type that can stand in a configuration.
pub(crate) trait Value: Sized {
    /// Reads it. `None` if it cannot be: then a problem has been reported.
    fn read(node: &Node, reader: &mut Reader) -> Option<Self>;

    /// The form it may have.
    fn shape() -> Shape;

    /// The same value as a user would write it, in its canonical form.
    fn render(&self) -> Node;
}

/// A value, and where it was written: for a default, where it could have been.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Where the reading is, and what was wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    path: Vec<Step>,
    pub(crate) problems: Vec<Problem>,
    /// The positions and paths of `problems`, so that a file with very many of them is still read quickly.
    marks: BTreeSet<Mark>,
    paths: BTreeSet<String>,
    /// Paths of lists and maps of which an item could not be read, so that what they lack means nothing.
    incomplete: BTreeSet<String>,
}

/// One step from a value into what it contains.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl Reader {
    /// Begins with what is wrong with the text itself.
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        let marks = problems.iter().map(|problem| problem.place.mark).collect();
        Self {
            problems,
            marks,
            ..Self::default()
        }
    }

    /// The place of a value that begins at `mark`.
    pub(crate) fn place(&self, mark: Mark) -> Place {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Key(key) if path.is_empty() => path.push_str(key),
                Step::Key(key) => {
                    path.push('.');
                    path.push_str(key);
                }
                Step::Index(index) => _ = write!(path, "[{index}]"),
            }
        }
        Place { mark, path }
    }

    pub(crate) fn problem(&mut self, mark: Mark, wrong: impl Into<String>, right: impl Into<String>) {
        let place = self.place(mark);
        self.problems.push(Problem::new(&place, wrong, right));
        self.marks.insert(place.mark);
        self.paths.insert(place.path);
    }

    /// Remembers that an item of the list or map that is being read was left out.
    pub(crate) fn left_out(&mut self) {
        let place = self.place(Mark::default());
        self.incomplete.insert(place.path);
    }

    /// Whether every item of the list or map at this place could be read.
    pub(crate) fn complete(&self, place: &Place) -> bool {
        !self.incomplete.contains(&place.path)
    }

    /// Whether the value at this place was told to be wrong, so that it seems to be missing.
    pub(crate) fn told_of(&self, place: &Place) -> bool {
        self.paths.contains(&place.path)
    }

    /// Reports that `node` is not what `shape` wants.
    pub(crate) fn mismatch(&mut self, node: &Node, shape: &Shape) {
        let wrong = match shape {
            Shape::Scalar(scalar) => format!("{} is not {}", node.describe(), scalar.what),
            Shape::Words(_) => format!("{} is not a word that is known here", node.describe()),
            Shape::List(_) => format!("{} is not a list", node.describe()),
            Shape::Map(_) | Shape::Stanza(_) => format!("{} is not a map", node.describe()),
            Shape::Switch(_) => format!("{} is neither a switch nor a map", node.describe()),
        };
        self.problem(node.mark, wrong, shape.right());
    }

    /// Reports a value outside of `min..=max`.
    pub(crate) fn bound<T: Value + PartialOrd>(
        &mut self,
        value: &T,
        node: &Node,
        (min, max): (&'static str, &'static str),
    ) {
        let (smallest, largest) = (
            T::read(&literal(min, node.mark), self),
            T::read(&literal(max, node.mark), self),
        );
        if smallest.is_some_and(|smallest| *value < smallest)
            || largest.is_some_and(|largest| *value > largest)
        {
            let wrong = format!("{} is out of range", node.describe());
            self.problem(node.mark, wrong, format!("from `{min}` to `{max}`"));
        }
    }

    /// Whether something was reported at exactly this position.
    fn reported(&self, mark: Mark) -> bool {
        self.marks.contains(&mark)
    }

    /// Whether nothing was wrong with the value that was read here, or with what it contains.
    pub(crate) fn spotless(&self, place: &Place) -> bool {
        let within = |step: &str| {
            let inner = format!("{}{step}", place.path);
            self.paths
                .range(inner.clone()..)
                .next()
                .is_some_and(|path| path.starts_with(&inner))
        };
        !self.paths.contains(&place.path) && !within(".") && !within("[")
    }

    /// Reads with one more step on the path.
    pub(crate) fn within<T>(&mut self, step: Step, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let value = read(self);
        self.path.pop();
        value
    }
}

/// The entries of a stanza, while its fields are read.
#[derive(Debug)]
pub(crate) struct Fields<'n> {
    entries: &'n [(Key, Node)],
    mark: Mark,
}

impl<'n> Fields<'n> {
    /// Opens `node` as a stanza with the keys `known`, and reports the others.
    pub(crate) fn open(node: &'n Node, known: &[&'static str], reader: &mut Reader) -> Option<Self> {
        match &node.kind {
            // `retry:` with nothing but comments below it is a stanza of defaults.
            Kind::Null => {
                return Some(Self {
                    entries: &[],
                    mark: node.mark,
                });
            }
            Kind::Map(_) => {}
            Kind::Scalar { .. } | Kind::List(_) => {
                let right = format!("a map with the keys {}", known.join(", "));
                reader.problem(node.mark, format!("{} is not a map", node.describe()), right);
                return None;
            }
        }
        let mut unknown = node
            .entries()
            .iter()
            .filter(|(key, _)| !known.contains(&key.text.as_str()));
        for (key, _) in unknown.by_ref().take(UNKNOWN_MAX) {
            unknown_key(key, known, reader);
        }
        if let Some((key, _)) = unknown.next() {
            let wrong = format!("{} more keys are not known here", 1 + unknown.count());
            reader.problem(key.mark, wrong, format!("one of {}", known.join(", ")));
        }
        Some(Self {
            entries: node.entries(),
            mark: node.mark,
        })
    }

    /// Reads one field. A key without a value counts as not written. A value that `admit` reports is kept, since
    /// it is what the user means; one that cannot be read is replaced by the default.
    pub(crate) fn read<T: Value>(
        &self,
        name: &'static str,
        default: Option<&'static str>,
        admit: impl FnOnce(&T, &Node, &mut Reader),
        reader: &mut Reader,
    ) -> Option<At<T>> {
        reader.within(Step::Key(name.to_owned()), |reader| {
            let written = self
                .entries
                .iter()
                .find(|(key, _)| key.text == name)
                .map(|(_, node)| node);
            if let Some(node) = written.filter(|node| !node.is_null()) {
                let place = reader.place(node.mark);
                if let Some(value) = T::read(node, reader) {
                    admit(&value, node, reader);
                    return Some(At { value, place });
                }
            } else if default.is_none() && written.is_none_or(|node| !reader.reported(node.mark)) {
                let right = format!("`{name}: {}`", T::shape().example());
                reader.problem(self.mark, "this key is required and missing", right);
            }
            self.default(default?, reader)
        })
    }

    fn default<T: Value>(&self, default: &'static str, reader: &mut Reader) -> Option<At<T>> {
        let place = reader.place(self.mark);
        T::read(&literal(default, self.mark), reader).map(|value| At { value, place })
    }
}

/// Unknown keys of one stanza that are reported one by one: with more, it is another kind of file.
const UNKNOWN_MAX: usize = 100;

/// Keys under which people write secrets.
const SECRETS: [&str; 4] = ["token", "password", "secret", "api_key"];

fn unknown_key(key: &Key, known: &[&'static str], reader: &mut Reader) {
    if reader.reported(key.mark) {
        return; // It is no word, or stands here twice.
    }
    let step = Step::Key(key.text.chars().take(60).flat_map(char::escape_debug).collect());
    if SECRETS.contains(&key.text.as_str()) {
        let beside: Vec<_> = known
            .iter()
            .filter(|k| k.ends_with("_file") || k.ends_with("_env"))
            .collect();
        if !beside.is_empty() {
            let right: Vec<_> = beside.iter().map(|k| format!("`{k}`")).collect();
            let wrong = "a secret does not belong in this file";
            reader.within(step, |reader| reader.problem(key.mark, wrong, right.join(" or ")));
            return;
        }
    }
    let wrong = format!("the key {} is not known here", quote(&key.text));
    let right = match nearest(&key.text, known.iter().copied()) {
        Some(near) => format!("`{near}` (the keys here are {})", known.join(", ")),
        None => format!("one of {}", known.join(", ")),
    };
    reader.within(step, |reader| reader.problem(key.mark, wrong, right));
}

/// A default or a bound, as it stands in a declaration. The test `declarations_can_be_read` reads them all.
fn literal(text: &'static str, mark: Mark) -> Node {
    let kind = match text {
        "null" => Kind::Null,
        "[]" => Kind::List(Vec::new()),
        "{}" => Kind::Map(Vec::new()),
        _ if text.starts_with('[') => {
            tree::parse(text, Bounds::CONFIG, &mut Vec::new()).map_or(Kind::Null, |node| node.kind)
        }
        _ => Kind::Scalar {
            text: text.to_owned(),
            quoted: false,
        },
    };
    Node { kind, mark }
}
