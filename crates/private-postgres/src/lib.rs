//! A Postgres server of one's own, on a Unix socket in a temporary folder, gone when it is dropped.
//!
//! It shares nothing with a server that may run on the machine: no port, no data, no users. Postgres refuses to
//! run as root, so a test that does is stepped down to the user `postgres` of the installed package.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::sync::atomic::{AtomicU32, Ordering};

/// A temporary folder that any user may write to.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new one, empty.
    ///
    /// # Panics
    /// If that is not possible.
    #[allow(clippy::new_without_default, reason = "it is another one each time")]
    pub fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        // Short, because the path of a Unix socket may have no more than 107 bytes.
        let name = format!("pg-{}-{}", id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server that is stopped when it is dropped.
#[derive(Debug)]
pub struct Server {
    binaries: PathBuf,
    folder: Folder,
}

impl Server {
    /// Makes a cluster and starts its server.
    ///
    /// # Panics
    /// If that is not possible.
    pub fn start() -> Self {
        let server = Self {
            binaries: binaries(),
            folder: Folder::new(),
        };
        let data = server.data();
        server.run(
            "initdb",
            &[
                "-D",
                &data,
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
            ],
        );
        server.restart();
        server
    }

    /// Starts it again after [`Self::stop`], with what was in it.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&self) {
        let (data, socket) = (self.data(), self.folder.path().display().to_string());
        // Nothing here outlives the test, so nothing has to reach the disk.
        let options = format!("-k {socket} -c listen_addresses='' -c fsync=off");
        let log = format!("{socket}/log");
        self.run(
            "pg_ctl",
            &["start", "-w", "-s", "-D", &data, "-l", &log, "-o", &options],
        );
    }

    /// Stops it as a crash would.
    ///
    /// # Panics
    /// If it does not stop.
    pub fn stop(&self) {
        self.run(
            "pg_ctl",
            &["stop", "-w", "-s", "-m", "immediate", "-D", &self.data()],
        );
    }

    /// The process that answers for it.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pid(&self) -> u32 {
        // Only its user may read this, or root.
        let pid = fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap();
        pid.lines().next().unwrap().parse().unwrap()
    }

    /// Makes an empty database and returns how to connect to it.
    ///
    /// # Panics
    /// If the server does not do so.
    pub fn database(&self, name: &str) -> String {
        self.sql(&format!("CREATE DATABASE {name}"));
        self.address(name)
    }

    /// Where its socket is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How to connect to a database.
    pub fn address(&self, name: &str) -> String {
        let folder = self.folder.path().display();
        format!("host={folder} user=postgres dbname={name}")
    }

    /// Runs a statement as the administrator.
    ///
    /// # Panics
    /// If it fails.
    pub fn sql(&self, statement: &str) {
        self.sql_in("postgres", statement);
    }

    /// The same in a database.
    ///
    /// # Panics
    /// If it fails.
    pub fn sql_in(&self, name: &str, statement: &str) {
        let socket = self.folder.path().display().to_string();
        self.run(
            "psql",
            &["-h", &socket, "-U", "postgres", "-d", name, "-q", "-c", statement],
        );
    }

    /// The processes that it has started.
    ///
    /// # Panics
    /// If that is not to be seen.
    pub fn backends(&self) -> Vec<u32> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children
            .split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .collect()
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let program = self.binaries.join(program);
        let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        let mut command = if root {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                .arg(&program);
            command
        } else {
            Command::new(&program)
        };
        // The server inherits these files; pipes would keep `output` waiting for as long as it runs.
        let said = fs::File::create(self.folder.path().join("said")).unwrap();
        command
            .args(arguments)
            .stdout(said.try_clone().unwrap())
            .stderr(said);
        let status = command.current_dir(self.folder.path()).status().unwrap();
        let said = fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
        assert!(status.success(), "{} {arguments:?}: {said}", program.display());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that has stopped it has nothing left to stop.
        if self.folder.path().join("data/postmaster.pid").exists() {
            self.stop();
        }
    }
}

/// Where the server's programs are: as told, or else where Debian's package puts the newest of them.
#[allow(
    clippy::disallowed_methods,
    reason = "who runs the tests says where their server is"
)]
fn binaries() -> PathBuf {
    if let Ok(told) = std::env::var("PLIMSOLL_TEST_POSTGRES_BIN") {
        let told = PathBuf::from(told);
        assert!(
            told.join("initdb").exists(),
            "PLIMSOLL_TEST_POSTGRES_BIN has no initdb in {}",
            told.display()
        );
        return told;
    }
    let installed = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = installed
        .filter_map(|version| {
            Some((
                version.file_name().to_str()?.parse::<u32>().ok()?,
                version.path().join("bin"),
            ))
        })
        .filter(|(_, path)| path.join("initdb").exists())
        .max();
    newest.map(|(_, path)| path).expect(
        "Postgres is not installed: run `apt-get install postgresql`, or set PLIMSOLL_TEST_POSTGRES_BIN to the \
         folder of initdb and pg_ctl",
    )
}
