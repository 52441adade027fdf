//! Style and scripts, in the binary. Each has its digest in its path, so that a browser keeps it until it is another.

use std::sync::LazyLock;

use crate::access::Digest;

/// A file that pages refer to.
pub(crate) struct Asset {
    name: &'static str,
    kind: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) text: &'static str,
    path: LazyLock<String>,
}

macro_rules! asset {
    ($name:literal, $kind:literal, $content_type:literal) => {
        Asset {
            name: $name,
            kind: $kind,
            content_type: $content_type,
            text: include_str!(concat!("assets/", $name, ".", $kind)),
            path: LazyLock::new(|| path($name, $kind, include_str!(concat!("assets/", $name, ".", $kind)))),
        }
    };
}

pub(crate) static STYLE: Asset = asset!("dashboard", "css", "text/css; charset=utf-8");
pub(crate) static ISLANDS: Asset = asset!("islands", "js", "text/javascript; charset=utf-8");
/// Charts: uPlot 1.6.32 (MIT), as its authors build it.
pub(crate) static UPLOT: Asset = asset!("uplot", "js", "text/javascript; charset=utf-8");
pub(crate) static UPLOT_STYLE: Asset = asset!("uplot", "css", "text/css; charset=utf-8");

static ALL: [&Asset; 4] = [&STYLE, &ISLANDS, &UPLOT, &UPLOT_STYLE];

impl Asset {
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

impl std::fmt::Debug for Asset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Asset({}.{})", self.name, self.kind)
    }
}

/// The asset of a path.
pub(crate) fn of_path(path: &str) -> Option<&'static Asset> {
    ALL.into_iter().find(|asset| asset.path() == path)
}

/// Whether a path may only be one of these, of this build or of another.
pub(crate) fn is_asset(path: &str) -> bool {
    path.starts_with("/assets/")
}

fn path(name: &str, kind: &str, text: &str) -> String {
    let digest = Digest::of(text.as_bytes()).to_string();
    let short = &digest["sha256:".len()..][..12];
    format!("/assets/{name}-{short}.{kind}")
}
