//! Secrets: read from files and the environment, never from the text of the configuration, and never shown.
//!
//! This is the one place where the environment is read.

use std::fmt;
use std::path::PathBuf;

/// The longest secret that makes sense; what is longer is the wrong file.
const BYTES_MAX: usize = 4096;

/// Where a token is kept. It is read when it is needed, so that a renewed one needs no restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenSource {
    File(PathBuf),
    Environment(String),
}

/// A secret. It shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    #[error("reading the token file {}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("reading the environment variable {name}")]
    Environment {
        name: String,
        source: std::env::VarError,
    },
    #[error("the token from {0} is empty, or longer than {BYTES_MAX} bytes")]
    Unfit(String),
}

impl Secret {
    /// The secret itself, to be sent to whoever may know it.
    pub(crate) fn to_send(&self) -> &str {
        &self.0
    }
}

impl TokenSource {
    /// Reads the token, without the spaces around it.
    ///
    /// # Errors
    /// [`SecretError`] if it is not there, empty, or too long.
    pub(crate) fn read(&self) -> Result<Secret, SecretError> {
        let (text, from) = match self {
            Self::File(path) => {
                let read = std::fs::read_to_string(path);
                let text = read.map_err(|source| SecretError::File {
                    path: path.clone(),
                    source,
                })?;
                (text, path.display().to_string())
            }
            Self::Environment(name) => (variable(name)?, name.clone()),
        };
        let token = text.trim();
        if token.is_empty() || token.len() > BYTES_MAX {
            return Err(SecretError::Unfit(from));
        }
        Ok(Secret(token.to_owned()))
    }
}

/// Reads an environment variable.
///
/// # Errors
/// [`SecretError::Environment`] if it is not set, or no text.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the environment is read"
)]
pub(crate) fn variable(name: &str) -> Result<String, SecretError> {
    std::env::var(name).map_err(|source| SecretError::Environment {
        name: name.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret("swordfish".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn what_is_missing_says_where() {
        let error = TokenSource::File("/nowhere/token".into()).read().unwrap_err();
        assert_eq!(error.to_string(), "reading the token file /nowhere/token");
        let error = TokenSource::Environment("PLIMSOLL_TEST_UNSET".to_owned())
            .read()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "reading the environment variable PLIMSOLL_TEST_UNSET"
        );
    }
}
