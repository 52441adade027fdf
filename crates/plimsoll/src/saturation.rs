//! How full the machine and the process are, read from the kernel when somebody asks.
//!
//! Pressure stall information says more than utilisation: a CPU at 100 % with nobody waiting is well used, one at
//! 70 % with work waiting is too small. Whatever the kernel does not tell (no PSI, no control group, no Linux) is
//! absent, and nothing here fails: a status page that breaks because the machine is in trouble is of no use.

mod memory;

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) use self::memory::{Held, memory_available};

/// What the kernel tells of us.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Saturation {
    pub(crate) cpu_seconds: Option<f64>,
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) virtual_bytes: Option<u64>,
    pub(crate) threads: Option<u64>,
    pub(crate) open_fds: Option<u64>,
    pub(crate) max_fds: Option<u64>,
    /// When the process began, in Unix time.
    pub(crate) start_seconds: Option<f64>,
    /// Use and limit of the control group; a limit that is not set is absent.
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) memory_limit_bytes: Option<u64>,
    pub(crate) cpu_limit_cores: Option<f64>,
    pub(crate) cpu_throttled_seconds: Option<f64>,
    pub(crate) pressure: Vec<Pressure>,
}

/// How much of the last ten seconds work stalled for want of a resource, `0.0..=1.0`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pressure {
    /// `cpu`, `memory` or `io`.
    pub(crate) resource: &'static str,
    /// At least one task stalled.
    pub(crate) some: f64,
    /// All of them did.
    pub(crate) full: Option<f64>,
}

/// Ticks per second in `/proc/*/stat`: `sysconf(_SC_CLK_TCK)` is 100 on every Linux there is, whatever the kernel's
/// own tick.
const TICKS_PER_SECOND: f64 = 100.0;

impl Saturation {
    /// Reads it from the system.
    pub(crate) fn read() -> Self {
        Self::read_under(Path::new("/"))
    }

    /// Reads it from the `proc` and `sys` under `root`: a dozen small files, none of which waits for a disk.
    fn read_under(root: &Path) -> Self {
        let proc = root.join("proc/self");
        let mut read = Self {
            open_fds: fs::read_dir(proc.join("fd"))
                .ok()
                .map(|entries| entries.count() as u64),
            ..Self::default()
        };
        read.read_status(&text(proc.join("status")));
        read.read_stat(&text(proc.join("stat")), &text(root.join("proc/stat")));
        read.max_fds = max_fds(&text(proc.join("limits")));
        read.read_group(&group(root, &text(proc.join("cgroup"))));
        let resources = ["cpu", "memory", "io"].into_iter();
        let pressure = resources
            .filter_map(|resource| pressure(resource, &text(root.join("proc/pressure").join(resource))));
        read.pressure = pressure.collect();
        read
    }

    fn read_status(&mut self, status: &str) {
        let kibibytes = |name| {
            Some(
                field(status, name)?
                    .trim_end_matches("kB")
                    .trim()
                    .parse::<u64>()
                    .ok()?
                    * 1024,
            )
        };
        self.resident_bytes = kibibytes("VmRSS:");
        self.virtual_bytes = kibibytes("VmSize:");
        self.threads = field(status, "Threads:").and_then(|count| count.parse().ok());
    }

    /// Fields are counted after the process's name, which may itself hold spaces and parentheses.
    fn read_stat(&mut self, stat: &str, machine: &str) {
        let Some((_, after)) = stat.rsplit_once(')') else {
            return;
        };
        let ticks: Vec<Option<f64>> = after.split_whitespace().map(|word| word.parse().ok()).collect();
        // The first after the name is field 3 of proc(5), `state`.
        let seconds = |number: usize| Some(ticks.get(number - 3).copied()?? / TICKS_PER_SECOND);
        self.cpu_seconds = seconds(14).zip(seconds(15)).map(|(user, system)| user + system);
        let booted: Option<f64> = field(machine, "btime ").and_then(|at| at.parse().ok());
        self.start_seconds = booted.zip(seconds(22)).map(|(booted, after)| booted + after);
    }

    fn read_group(&mut self, group: &Path) {
        let number = |file: &str| text(group.join(file)).trim().parse::<u64>().ok();
        self.memory_bytes = number("memory.current");
        self.memory_limit_bytes = number("memory.max"); // the word "max" is no number, and no limit
        let cpu_max = text(group.join("cpu.max"));
        let quota = cpu_max.split_once(' ');
        let quota =
            quota.and_then(|(quota, period)| Some((quota.parse().ok()?, period.trim().parse().ok()?)));
        self.cpu_limit_cores = quota.map(|(quota, period): (f64, f64)| quota / period);
        let throttled =
            field(&text(group.join("cpu.stat")), "throttled_usec ").and_then(|t| t.parse::<f64>().ok());
        self.cpu_throttled_seconds = throttled.map(|micros| micros / 1e6);
    }
}

/// The text of a file; empty when it cannot be read.
fn text(path: PathBuf) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What follows `name` on the line that begins with it.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

fn max_fds(limits: &str) -> Option<u64> {
    field(limits, "Max open files")?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// The directory of our control group. In a container it is usually mounted as though it were the root.
fn group(root: &Path, cgroup: &str) -> PathBuf {
    let mounted = root.join("sys/fs/cgroup");
    let own = field(cgroup, "0::").map(|path| mounted.join(path.trim_start_matches('/')));
    own.filter(|path| path.is_dir()).unwrap_or(mounted)
}

fn pressure(resource: &'static str, text: &str) -> Option<Pressure> {
    let average = |name| {
        let average = field(text, name)?
            .split_whitespace()
            .find_map(|word| word.strip_prefix("avg10="))?;
        Some(average.parse::<f64>().ok()? / 100.0)
    };
    Some(Pressure {
        resource,
        some: average("some ")?,
        full: average("full "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn everything_is_read_where_it_is() {
        let root = std::env::temp_dir().join(format!("plimsoll-saturation-{}", std::process::id()));
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 9 0 12345 0 0";
        for (file, text) in [
            (
                "proc/self/status",
                "Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t   1024 kB\nThreads:\t9\n",
            ),
            ("proc/self/stat", stat),
            ("proc/stat", "cpu  1 2\nbtime 1700000000\n"),
            (
                "proc/self/limits",
                "Limit  Soft  Hard  Units\nMax open files            1024   4096   files\n",
            ),
            ("proc/self/fd/0", ""),
            ("proc/self/fd/1", ""),
            ("proc/self/cgroup", "0::/slice/unit\n"),
            ("sys/fs/cgroup/slice/unit/memory.max", "1073741824\n"),
            ("sys/fs/cgroup/slice/unit/memory.current", "536870912\n"),
            ("sys/fs/cgroup/slice/unit/cpu.max", "150000 100000\n"),
            (
                "sys/fs/cgroup/slice/unit/cpu.stat",
                "usage_usec 5\nthrottled_usec 2500000\n",
            ),
            (
                "proc/pressure/memory",
                "some avg10=1.50 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.25 avg60=0 avg300=0 total=1\n",
            ),
            (
                "proc/pressure/cpu",
                "some avg10=42.00 avg60=0.00 avg300=0.00 total=5\n",
            ),
        ] {
            write(&root, file, text);
        }
        let read = Saturation::read_under(&root);
        fs::remove_dir_all(&root).unwrap();
        let expected = Saturation {
            cpu_seconds: Some(3.0),
            resident_bytes: Some(1 << 20),
            virtual_bytes: Some(2 << 20),
            threads: Some(9),
            open_fds: Some(2),
            max_fds: Some(1024),
            start_seconds: Some(1_700_000_123.45),
            memory_bytes: Some(512 << 20),
            memory_limit_bytes: Some(1 << 30),
            cpu_limit_cores: Some(1.5),
            cpu_throttled_seconds: Some(2.5),
            pressure: vec![
                Pressure {
                    resource: "cpu",
                    some: 0.42,
                    full: None,
                },
                Pressure {
                    resource: "memory",
                    some: 0.015,
                    full: Some(0.0025),
                },
            ],
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_system_that_tells_nothing_is_borne() {
        assert_eq!(
            Saturation::read_under(Path::new("/nowhere")),
            Saturation::default()
        );
    }

    #[test]
    fn no_limit_is_no_number() {
        let root = std::env::temp_dir().join(format!("plimsoll-no-limit-{}", std::process::id()));
        write(&root, "sys/fs/cgroup/memory.max", "max\n");
        write(&root, "sys/fs/cgroup/cpu.max", "max 100000\n");
        let read = Saturation::read_under(&root);
        fs::remove_dir_all(&root).unwrap();
        assert_eq!((read.memory_limit_bytes, read.cpu_limit_cores), (None, None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_files() {
        let read = Saturation::read();
        assert!(read.resident_bytes.unwrap() > 100_000 && read.open_fds.unwrap() >= 3);
        assert!(read.start_seconds.unwrap() > 1.5e9);
    }
}
