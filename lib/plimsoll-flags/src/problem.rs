//! What is wrong, or doubtful, in a flag set: where, what, and what would be right.

use core::fmt;

/// Problems that are told at most. Nobody reads on after that many, and a hostile file could hold millions.
const PROBLEMS_MAX: usize = 1_000;

/// One thing that is wrong or doubtful in flag definitions.
///
/// ```
/// use plimsoll_flags::{Bucketing, FlagSet};
/// let definitions = serde_json::json!({ "flags": { "new-tax": {
///     "state": "ON", "variants": { "on": true, "off": false }, "defaultVariant": "of",
/// } } });
/// let problems = FlagSet::compile(&definitions, Bucketing::V2).unwrap_err();
/// assert_eq!(problems[0].pointer, "/flags/new-tax/state");
/// assert_eq!(
///     problems[0].to_string(),
///     "/flags/new-tax/state: \"ON\" is no state; write ENABLED or DISABLED",
/// );
/// assert_eq!(problems[1].pointer, "/flags/new-tax/defaultVariant");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: a JSON pointer (RFC 6901) into the definitions.
    pub pointer: String,
    /// What is wrong there.
    pub problem: String,
    /// What would be right, where that can be said.
    pub instead: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The empty pointer means the whole document, and would look like nothing.
        let place = if self.pointer.is_empty() {
            "/"
        } else {
            &self.pointer
        };
        write!(f, "{place}: {}", self.problem)?;
        match &self.instead {
            Some(instead) => write!(f, "; {instead}"),
            None => Ok(()),
        }
    }
}

/// A place in a document, as steps from its root.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place(String);

impl Place {
    /// The place below this one under a name.
    pub(crate) fn name(&self, name: &str) -> Self {
        Self(format!(
            "{}/{}",
            self.0,
            name.replace('~', "~0").replace('/', "~1")
        ))
    }

    /// The place below this one at an index.
    pub(crate) fn index(&self, index: usize) -> Self {
        Self(format!("{}/{index}", self.0))
    }
}

/// Problems as they are found.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    pub(crate) fn add(&mut self, place: &Place, problem: impl Into<String>, instead: &str) {
        let problem = Problem {
            pointer: place.0.clone(),
            problem: problem.into(),
            instead: (!instead.is_empty()).then(|| instead.to_owned()),
        };
        // What is wrong in an evaluator is found again by each flag that refers to it.
        if self.found.len() < PROBLEMS_MAX && !self.found.contains(&problem) {
            self.found.push(problem);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn append(&mut self, more: Self) {
        let room = PROBLEMS_MAX - self.found.len().min(PROBLEMS_MAX);
        self.found.extend(more.found.into_iter().take(room));
    }

    pub(crate) fn into_vec(self) -> Vec<Problem> {
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_escapes_what_pointers_escape() {
        let place = Place::default().name("flags").name("a/b~c").index(3);
        assert_eq!(place.0, "/flags/a~1b~0c/3");
    }

    #[test]
    fn the_list_has_an_end() {
        let mut problems = Problems::default();
        for at in 0..2 * PROBLEMS_MAX {
            problems.add(&Place::default().index(at), "bad", "");
        }
        assert_eq!(problems.into_vec().len(), PROBLEMS_MAX);
    }
}
