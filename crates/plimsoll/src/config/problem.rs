//! What is wrong with a configuration: where, what, and what would be right.
//!
//! A problem never stops the reading. All of them are collected and shown at once, in the order of the file, so
//! that one run of `plimsoll check` is enough to mend a file.

use std::fmt;

/// A position in a text; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A position with the path of keys that leads there: `listeners.ingress.routes[2].retry`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) mark: Mark,
    pub(crate) path: String,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    /// What is wrong, as a clause without a full stop.
    pub(crate) wrong: String,
    /// What would be right instead.
    pub(crate) right: String,
}

impl Problem {
    pub(crate) fn new(place: &Place, wrong: impl Into<String>, right: impl Into<String>) -> Self {
        Self {
            place: place.clone(),
            wrong: wrong.into(),
            right: right.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What did not come from a file has no position.
        if self.place.mark != Mark::default() {
            write!(f, "{}: ", self.place.mark)?;
        }
        if !self.place.path.is_empty() {
            write!(f, "{}: ", self.place.path)?;
        }
        write!(f, "{}; right would be {}", self.wrong, self.right)
    }
}

/// Everything that is wrong with one file. Never empty.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Problems {
    /// What the file is called in messages.
    file: String,
    list: Vec<Problem>,
}

impl Problems {
    /// Sorts the problems by position and drops exact repetitions.
    pub(crate) fn new(file: &str, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| problem.place.mark);
        list.dedup();
        Self {
            file: file.to_owned(),
            list,
        }
    }

    /// The same for a configuration that was made of flags, whose positions say nothing to anyone.
    pub(super) fn of_flags(self) -> Self {
        const FLAGS: [(&str, &str); 3] = [
            ("upstreams", "--upstream"),
            ("listeners", "--listen"),
            ("admin", "--admin"),
        ];
        let renamed = |mut problem: Problem| {
            problem.place.mark = Mark::default();
            if let Some((_, flag)) = FLAGS.iter().find(|(key, _)| problem.place.path.starts_with(key)) {
                problem.place.path = (*flag).to_owned();
            }
            problem
        };
        Self {
            file: self.file,
            list: self.list.into_iter().map(renamed).collect(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            if problem.place.mark != Mark::default() {
                write!(f, "{}:", self.file)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
