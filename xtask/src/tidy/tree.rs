//! What the rules look at: the text of every file of the repository, and its packages.
//!
//! Files are those that git tracks and those it would, so that a breach is found before it is committed and
//! nothing that is ignored is read. Tests build small trees in memory instead.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Text by path from the root, with `/` between its parts.
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) packages: Vec<Package>,
}

/// A package of this workspace, as far as the rules care.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Path of its `Cargo.toml` from the root.
    pub(crate) manifest: String,
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// It is only there for tests, examples and benchmarks.
    pub(crate) for_tests: bool,
}

impl Tree {
    /// Reads the repository at `root`.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        let listing = output(
            root,
            Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]),
        )?;
        for path in listing.split('\0').filter(|path| !path.is_empty()) {
            let place = root.join(path);
            // A file that was deleted but not yet committed is still listed; a link is judged where it points.
            if !place.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
                continue;
            }
            let bytes = std::fs::read(&place).with_context(|| format!("reading {path}"))?;
            // A picture is there, and says nothing.
            let text = if bytes.contains(&0) {
                String::new()
            } else {
                String::from_utf8_lossy(&bytes).into_owned()
            };
            files.insert(path.to_owned(), text);
        }
        let metadata = output(
            root,
            Command::new("cargo").args(["metadata", "--format-version", "1", "--no-deps", "--offline"]),
        )?;
        Ok(Self {
            files,
            packages: packages(&metadata, root)?,
        })
    }

    /// A tree of these files and no packages.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
            .collect();
        Self {
            files,
            packages: Vec::new(),
        }
    }

    /// The Rust files, path and text.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.with_ending(".rs")
    }

    /// The files whose path ends so, path and text.
    pub(crate) fn with_ending(&self, ending: &'static str) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter(move |(path, _)| path.ends_with(ending))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Whether there is a file or a directory at `path`.
    pub(crate) fn holds(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        path.is_empty()
            || self.files.contains_key(path)
            || self
                .files
                .range(inside.clone()..)
                .next()
                .is_some_and(|(next, _)| next.starts_with(&inside))
    }
}

/// What a command writes to its standard output, if it succeeds.
fn output(root: &Path, command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .current_dir(root)
        .output()
        .with_context(|| format!("starting {name}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{name} failed: {}", complaint.trim());
    String::from_utf8(output.stdout).with_context(|| format!("reading what {name} printed"))
}

/// Reads the packages out of what `cargo metadata` printed.
fn packages(metadata: &str, root: &Path) -> anyhow::Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(metadata).context("reading cargo metadata")?;
    array(&metadata["packages"])?
        .iter()
        .map(|package| self::package(package, root))
        .collect()
}

fn package(package: &Value, root: &Path) -> anyhow::Result<Package> {
    let manifest = Path::new(string(&package["manifest_path"])?);
    let manifest = manifest
        .strip_prefix(root)
        .unwrap_or(manifest)
        .to_string_lossy()
        .replace('\\', "/");
    let dependencies = array(&package["dependencies"])?
        .iter()
        .map(|dependency| {
            Ok(Dependency {
                name: string(&dependency["name"])?.to_owned(),
                for_tests: dependency["kind"] == "dev",
            })
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(Package {
        name: string(&package["name"])?.to_owned(),
        manifest,
        dependencies,
    })
}

fn array(value: &Value) -> anyhow::Result<&Vec<Value>> {
    value
        .as_array()
        .with_context(|| format!("cargo metadata has {value} where a list was expected"))
}

fn string(value: &Value) -> anyhow::Result<&str> {
    value
        .as_str()
        .with_context(|| format!("cargo metadata has {value} where a text was expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_metadata() {
        let metadata = r#"{"packages": [{"name": "a", "manifest_path": "/r/lib/a/Cargo.toml", "dependencies": [
            {"name": "b", "kind": null}, {"name": "c", "kind": "dev"}, {"name": "d", "kind": "build"}]}]}"#;
        let packages = packages(metadata, Path::new("/r")).unwrap();
        assert_eq!(packages[0].manifest, "lib/a/Cargo.toml");
        let kinds: Vec<_> = packages[0]
            .dependencies
            .iter()
            .map(|found| (found.name.as_str(), found.for_tests))
            .collect();
        assert_eq!(kinds, [("b", false), ("c", true), ("d", false)]);
    }

    #[test]
    fn metadata_of_another_shape_is_an_error_and_not_an_empty_workspace() {
        assert!(packages("{}", Path::new("/r")).is_err());
        assert!(packages(r#"{"packages": [{"name": 3}]}"#, Path::new("/r")).is_err());
    }

    #[test]
    fn a_directory_is_held_if_a_file_lies_in_it() {
        let tree = Tree::of(&[("docs/src/a.md", ""), ("docs-old", "")]);
        assert!(tree.holds("docs/src/a.md") && tree.holds("docs/src") && tree.holds("docs"));
        assert!(!tree.holds("docs/s") && !tree.holds("doc"));
    }
}
