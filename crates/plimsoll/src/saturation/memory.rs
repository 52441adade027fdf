//! The two numbers that a bound on memory compares: what we hold, and what there is.

use std::path::{Path, PathBuf};

use super::{field, group, text};

/// What we hold now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Pages of this process that no file is behind: the kernel could not take them back.
    pub(crate) anonymous: u64,
    /// Buffers that the kernel keeps for the sockets of our control group. 0 where it does not tell, and outside of a
    /// group, where they would be the whole machine's.
    pub(crate) sockets: u64,
}

impl Held {
    /// Reads it from the system: two small files.
    pub(crate) fn read() -> Self {
        Self::read_under(Path::new("/"))
    }

    fn read_under(root: &Path) -> Self {
        let group = group(root, &text(root.join("proc/self/cgroup")));
        // The root of all groups has no use of its own.
        let sockets = if group.join("memory.current").exists() {
            field(&text(group.join("memory.stat")), "sock ").and_then(|bytes| bytes.parse().ok())
        } else {
            None
        };
        let status = text(root.join("proc/self/status"));
        let anonymous = ["RssAnon:", "RssShmem:"].map(|name| kibibytes(&status, name).unwrap_or(0));
        Self {
            anonymous: anonymous.into_iter().sum(),
            sockets: sockets.unwrap_or(0),
        }
    }

    pub(crate) fn bytes(self) -> u64 {
        self.anonymous.saturating_add(self.sockets)
    }
}

/// What this process may use at most: the machine's memory, or the lowest limit of a control group that it is in.
/// `None` where the system does not tell.
pub(crate) fn memory_available() -> Option<u64> {
    available_under(Path::new("/"))
}

fn available_under(root: &Path) -> Option<u64> {
    let groups = text(root.join("proc/self/cgroup"));
    let mounted = root.join("sys/fs/cgroup");
    let second = limits(&mounted, field(&groups, "0::"), "memory.max");
    // Version 1 has a tree for each resource: `4:memory:/path`.
    let path = groups.lines().find_map(|line| line.split_once(":memory:"));
    let first = limits(
        &mounted.join("memory"),
        path.map(|(_, path)| path),
        "memory.limit_in_bytes",
    );
    let machine = kibibytes(&text(root.join("proc/meminfo")), "MemTotal:");
    // No limit is the word "max" in version 2 and a very large number in version 1; neither is ever the least.
    second.into_iter().chain(first).chain(machine).min()
}

/// The limits of the group at `path` and of those that it is in. In a container the path may not be visible, since its
/// own group is mounted as though it were the root; so that is always looked at.
fn limits(mounted: &Path, path: Option<&str>, file: &str) -> Vec<u64> {
    let own: PathBuf = mounted.join(path.unwrap_or("").trim_start_matches('/'));
    let within = own.ancestors().take_while(|group| group.starts_with(mounted));
    within
        .filter_map(|group| text(group.join(file)).trim().parse().ok())
        .collect()
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let kibibytes = field(text, name)?
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::super::tests::write;
    use super::*;

    fn system(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("plimsoll-memory-{name}-{}", std::process::id()));
        for (file, text) in files {
            write(&root, file, text);
        }
        root
    }

    #[test]
    fn the_lowest_limit_counts_wherever_it_is() {
        let machine = ("proc/meminfo", "MemTotal:       8388608 kB\nMemFree: 1 kB\n");
        let v2 = ("proc/self/cgroup", "0::/pod/container\n");
        let v1 = ("proc/self/cgroup", "9:cpu:/a\n4:memory:/pod\n0::/\n");
        for (name, files, available) in [
            ("machine", vec![machine], 8 << 30),
            (
                "own",
                vec![
                    machine,
                    v2,
                    ("sys/fs/cgroup/pod/container/memory.max", "1073741824\n"),
                ],
                1 << 30,
            ),
            (
                "parent",
                vec![
                    machine,
                    v2,
                    ("sys/fs/cgroup/pod/memory.max", "536870912\n"),
                    ("sys/fs/cgroup/pod/container/memory.max", "max\n"),
                ],
                512 << 20,
            ),
            (
                "namespace",
                vec![machine, v2, ("sys/fs/cgroup/memory.max", "268435456\n")],
                256 << 20,
            ),
            (
                "first",
                vec![
                    machine,
                    v1,
                    ("sys/fs/cgroup/memory/pod/memory.limit_in_bytes", "134217728\n"),
                ],
                128 << 20,
            ),
            (
                "none",
                vec![
                    machine,
                    v1,
                    (
                        "sys/fs/cgroup/memory/memory.limit_in_bytes",
                        "9223372036854771712\n",
                    ),
                ],
                8 << 30,
            ),
        ] {
            let root = system(name, &files);
            let read = available_under(&root);
            std::fs::remove_dir_all(&root).unwrap();
            assert_eq!(read, Some(available), "{name}");
        }
        assert_eq!(available_under(Path::new("/nowhere")), None);
    }

    #[test]
    fn sockets_count_in_a_group_of_our_own_only() {
        let status = (
            "proc/self/status",
            "VmRSS:\t    9999 kB\nRssAnon:\t    1020 kB\nRssFile:\t 8975 kB\nRssShmem:\t 4 kB\n",
        );
        let stat = ("sys/fs/cgroup/memory.stat", "anon 5\nsock 4096\n");
        let root = system("held-root", &[status, stat]);
        let outside = Held::read_under(&root);
        write(&root, "sys/fs/cgroup/memory.current", "1\n");
        let inside = Held::read_under(&root);
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!((outside.bytes(), inside.bytes()), (1 << 20, (1 << 20) + 4096));
        assert_eq!(Held::read_under(Path::new("/nowhere")), Held::default());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_memory_and_we_hold_some() {
        let (held, available) = (Held::read(), memory_available().unwrap());
        assert!(
            held.anonymous > 100_000 && held.bytes() < available,
            "{held:?} of {available}"
        );
    }
}
