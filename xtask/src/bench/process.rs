//! A program that was started for a measurement: what it has used so far, and its end.
//!
//! It is pinned to one CPU, is known by its pid and the pids of its children, and is ended by those alone. It also
//! ends if this run is killed (`setpriv --pdeathsig`): one left over would sit on the CPU of every later measurement.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::setting::Launch;
use super::tools::quietly;

/// How long a program may take until it listens, and until it has ended. Both take milliseconds when all is well.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether it has.
const GLANCE: Duration = Duration::from_millis(10);
/// Linux counts CPU time in hundredths of a second towards programs (`USER_HZ`), whatever its own clock does.
const TICK: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

/// A command that runs on this CPU alone.
pub(crate) fn pinned(cpu: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &cpu.to_string()]).arg(program);
    command
}

impl Process {
    /// Starts a program on a CPU, and waits until it listens on a port.
    ///
    /// # Errors
    /// If it cannot be started, ends by itself, or does not listen in time; with what it logged.
    pub(crate) fn start(launch: &Launch, cpu: usize, port: u16, log: PathBuf) -> anyhow::Result<Self> {
        let name = launch.program.display();
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = pinned(cpu, Path::new("setpriv"));
        let child = command
            .args(["--pdeathsig", "TERM", "--"])
            .arg(&launch.program)
            .args(&launch.arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("sharing the log")?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let mut process = Self { child, log };
        process
            .listens(port)
            .with_context(|| format!("waiting for {name}, which logged:\n{}", process.log_end()))?;
        Ok(process)
    }

    fn listens(&mut self, port: u16) -> anyhow::Result<()> {
        let until = now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = self.child.try_wait().context("asking whether it runs")?;
            anyhow::ensure!(ended.is_none(), "it ended by itself");
            anyhow::ensure!(now() < until, "it does not listen on port {port}");
            thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// CPU time so far, of all its threads and workers.
    ///
    /// # Errors
    /// If one of its processes is gone.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut ticks = 0;
        for pid in std::iter::once(self.child.id()).chain(self.workers()) {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("reading its CPU time")?;
            ticks += cpu_ticks(&stat).context("reading its CPU time")?;
        }
        Ok(TICK * ticks)
    }

    /// Bytes of memory in use: of the process that serves, where another only watches over it.
    ///
    /// # Errors
    /// If it is gone.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        let pid = self.workers().last().copied().unwrap_or(self.child.id());
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("reading its memory")?;
        resident_bytes(&status).context("reading its memory")
    }

    /// Has it read its configuration again.
    ///
    /// # Errors
    /// If the signal cannot be sent.
    pub(crate) fn reload(&self) -> anyhow::Result<()> {
        signal("HUP", self.child.id())
    }

    /// The end of what it logged.
    pub(crate) fn log_end(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Its workers, if it has them in processes of their own. Asked for each time: nginx listens before it has any.
    fn workers(&self) -> Vec<u32> {
        children(self.child.id())
    }

    fn has_ended(&mut self) -> bool {
        let until = now() + PATIENCE;
        while now() < until {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(GLANCE),
                Ok(Some(_)) | Err(_) => return true,
            }
        }
        false
    }
}

impl Drop for Process {
    /// Asks it to end, and then makes it. It may be gone already, so failures say nothing.
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        drop(signal("TERM", self.child.id()));
        if self.has_ended() {
            return;
        }
        // The workers are still its children, so their pids are still theirs.
        for pid in self.workers() {
            drop(signal("KILL", pid));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// CPU time so far of this very process, of all its threads.
///
/// # Errors
/// If the kernel does not say.
pub(crate) fn own_cpu() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").context("reading our own CPU time")?;
    Ok(TICK * cpu_ticks(&stat).context("reading our own CPU time")?)
}

/// The program `kill` takes the place of a system call, which would need unsafe code.
fn signal(name: &str, pid: u32) -> anyhow::Result<()> {
    quietly(Command::new("kill").args(["-s", name, &pid.to_string()]))
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// User and system time in `/proc/PID/stat`. Fields are counted behind the name, which may hold spaces and brackets.
fn cpu_ticks(stat: &str) -> Option<u32> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[expect(
    clippy::disallowed_methods,
    reason = "it waits for real programs; nothing here is ever simulated"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_a_name_with_spaces_and_brackets() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 1234 56 8 9 20 0 3 0 100 1000 10";
        assert_eq!(cpu_ticks(stat), Some(1290));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(
            resident_bytes("VmHWM:\t   90 kB\nVmRSS:\t   12 kB\n"),
            Some(12 * 1024)
        );
        assert_eq!(resident_bytes("Name:\ta\n"), None);
    }

    #[test]
    fn this_very_process_can_be_read() {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        assert!(cpu_ticks(&stat).is_some() && resident_bytes(&status).is_some());
    }
}
