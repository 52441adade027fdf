//! How this process was started, as far as starting it once more is concerned.
//!
//! Taken down at the start: after a package has been replaced, `/proc/self/exe` names a file that is gone. The path
//! is kept as it was given and not with its links followed, since a link is how a release is usually switched.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A program and its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

impl Program {
    /// What this process was started as; `None` if the system does not tell.
    pub(crate) fn current() -> Option<Self> {
        let running = std::env::current_exe().ok()?;
        let mut arguments = std::env::args_os();
        let called = arguments.next().map(PathBuf::from);
        let path = called.and_then(|called| find(&called, std::env::var_os("PATH"), &running));
        Some(Self {
            path: path.unwrap_or(running),
            arguments: arguments.collect(),
        })
    }
}

/// Where the name that the process was called by leads, if that is to what runs: a caller may give any name.
fn find(called: &Path, path: Option<OsString>, running: &Path) -> Option<PathBuf> {
    let is_running = |candidate: &PathBuf| is_same_file(candidate, running);
    if called.components().count() > 1 {
        return std::path::absolute(called).ok().filter(is_running);
    }
    let path = path?;
    let mut candidates = std::env::split_paths(&path).map(|directory| directory.join(called));
    candidates
        .find(is_running)
        .and_then(|found| std::path::absolute(found).ok())
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino()));
    matches!((file(one), file(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_the_name_it_was_called_by() {
        let files = tempfile::tempdir().unwrap();
        let at = |name: &str| files.path().join(name);
        std::fs::write(at("release-2"), "").unwrap();
        std::fs::write(at("other"), "").unwrap();
        std::os::unix::fs::symlink(at("release-2"), at("plimsoll")).unwrap();
        let found = |called: &str, path: &Path| {
            find(
                Path::new(called),
                Some(path.as_os_str().to_owned()),
                &at("release-2"),
            )
        };
        let nowhere = Path::new("/nowhere");
        // The link, not where it leads today.
        let link = at("plimsoll");
        assert_eq!(found(link.to_str().unwrap(), nowhere), Some(link.clone()));
        assert_eq!(found("plimsoll", files.path()), Some(link));
        assert_eq!(found("plimsoll", nowhere), None);
        assert_eq!(
            found(at("other").to_str().unwrap(), nowhere),
            None,
            "it is another program"
        );
        assert_eq!(found(at("gone").to_str().unwrap(), nowhere), None);
    }

    #[test]
    fn this_process_can_be_told() {
        let program = Program::current().unwrap();
        assert!(program.path.is_absolute() && program.path.exists());
    }
}
