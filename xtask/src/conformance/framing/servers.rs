//! The servers, each with how it is installed and started.
//!
//! Python's are installed with pip below `target/conformance`, Debian's are used where they are and installed with
//! apt-get when all servers are asked for. A server is one row.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::super::{free_port, has, quietly, until_listening};

/// How a server is had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// It is part of a tool that the tests use anyway.
    Tool(&'static str),
    /// A package of PyPI.
    Pip(&'static str),
    /// A program, and the package of Debian's that has it.
    Debian(&'static str, &'static str),
}

pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) from: From,
    /// Whether it says what it saw.
    pub(super) says: bool,
    /// The command to start it with.
    command: fn(&Place, u16) -> anyhow::Result<Command>,
}

/// Where things lie.
pub(super) struct Place {
    pub(super) directory: PathBuf,
}

pub(super) const SERVERS: &[Server] = &[
    python("python http.server", From::Tool("python3"), |place, port| {
        Ok(place.script("http_server", port))
    }),
    Server {
        name: "node",
        from: From::Tool("node"),
        says: true,
        command: |place, port| {
            let mut node = Command::new("node");
            node.arg(place.write("app.js", include_str!("../origins/app.js"))?)
                .arg(port.to_string());
            Ok(node)
        },
    },
    Server {
        name: "go net/http",
        from: From::Tool("go"),
        says: true,
        command: |place, port| {
            let source = place.write("app.go", include_str!("../origins/app.go"))?;
            let binary = place.directory.join("app-go");
            let mut build = Command::new("go");
            build.arg("build").arg("-o").arg(&binary).arg(source);
            quietly(&mut build, "building the server in Go")?;
            let mut server = Command::new(binary);
            server.arg(port.to_string());
            Ok(server)
        },
    },
    python("gunicorn", From::Pip("gunicorn"), |place, port| {
        place.program(
            "gunicorn",
            &["--bind", &bind(port), "--log-level", "critical", "apps:wsgi"],
        )
    }),
    python("uvicorn, h11", From::Pip("uvicorn h11"), |place, port| {
        place.program(
            "uvicorn",
            &[
                "--http",
                "h11",
                "--port",
                &port.to_string(),
                "--log-level",
                "critical",
                "apps:asgi",
            ],
        )
    }),
    python(
        "uvicorn, httptools",
        From::Pip("uvicorn httptools"),
        |place, port| {
            place.program(
                "uvicorn",
                &[
                    "--http",
                    "httptools",
                    "--port",
                    &port.to_string(),
                    "--log-level",
                    "critical",
                    "apps:asgi",
                ],
            )
        },
    ),
    python("hypercorn", From::Pip("hypercorn"), |place, port| {
        place.program(
            "hypercorn",
            &["--bind", &bind(port), "--log-level", "CRITICAL", "apps:asgi"],
        )
    }),
    python("granian", From::Pip("granian"), |place, port| {
        place.program(
            "granian",
            &[
                "--interface",
                "asgi",
                "--port",
                &port.to_string(),
                "--no-log",
                "apps:asgi",
            ],
        )
    }),
    python("aiohttp", From::Pip("aiohttp"), |place, port| {
        Ok(place.script("aiohttp", port))
    }),
    python("tornado", From::Pip("tornado"), |place, port| {
        Ok(place.script("tornado", port))
    }),
    python("waitress", From::Pip("waitress"), |place, port| {
        Ok(place.script("waitress", port))
    }),
    python("cheroot", From::Pip("cheroot"), |place, port| {
        Ok(place.script("cheroot", port))
    }),
    debian("nginx", From::Debian("nginx", "nginx-light"), |place, port| {
        place.configured(
            "nginx",
            "nginx.conf",
            include_str!("../origins/nginx.conf"),
            port,
            |nginx, file| {
                nginx.arg("-p").arg(&place.directory).arg("-c").arg(file);
            },
        )
    }),
    debian("apache2", From::Debian("apache2", "apache2"), |place, port| {
        place.configured(
            "apache2",
            "apache.conf",
            include_str!("../origins/apache.conf"),
            port,
            |apache, file| {
                apache.args(["-D", "FOREGROUND", "-f"]).arg(file);
            },
        )
    }),
    debian("haproxy", From::Debian("haproxy", "haproxy"), |place, port| {
        place.configured(
            "haproxy",
            "haproxy.cfg",
            include_str!("../origins/haproxy.cfg"),
            port,
            |haproxy, file| {
                haproxy.args(["-db", "-f"]).arg(file);
            },
        )
    }),
    debian("lighttpd", From::Debian("lighttpd", "lighttpd"), |place, port| {
        place.configured(
            "lighttpd",
            "lighttpd.conf",
            include_str!("../origins/lighttpd.conf"),
            port,
            |lighttpd, file| {
                lighttpd.args(["-D", "-f"]).arg(file);
            },
        )
    }),
    debian("h2o", From::Debian("h2o", "h2o"), |place, port| {
        place.configured(
            "h2o",
            "h2o.yaml",
            include_str!("../origins/h2o.yaml"),
            port,
            |h2o, file| {
                h2o.args(["-m", "worker", "-c"]).arg(file);
            },
        )
    }),
    debian("varnish", From::Debian("varnishd", "varnish"), |place, port| {
        place.configured(
            "varnishd",
            "varnish.vcl",
            include_str!("../origins/varnish.vcl"),
            port,
            |varnish, file| {
                varnish
                    .args(["-F", "-j", "none", "-a", &bind(port), "-s", "malloc,16m", "-n"])
                    .arg(place.directory.join("varnish"))
                    .arg("-f")
                    .arg(file);
            },
        )
    }),
    debian("caddy", From::Debian("caddy", "caddy"), |place, port| {
        place.configured(
            "caddy",
            "Caddyfile",
            include_str!("../origins/Caddyfile"),
            port,
            |caddy, file| {
                caddy
                    .args(["run", "--adapter", "caddyfile", "--config"])
                    .arg(file);
            },
        )
    }),
];

const fn python(
    name: &'static str,
    from: From,
    command: fn(&Place, u16) -> anyhow::Result<Command>,
) -> Server {
    Server {
        name,
        from,
        says: true,
        command,
    }
}

const fn debian(
    name: &'static str,
    from: From,
    command: fn(&Place, u16) -> anyhow::Result<Command>,
) -> Server {
    Server {
        name,
        from,
        says: false,
        command,
    }
}

fn bind(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

impl Place {
    fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// The Python that servers are installed into.
    fn python(&self) -> PathBuf {
        self.directory.join("python")
    }

    /// Makes that Python, and has pip install what is missing of these.
    ///
    /// # Errors
    /// pip fails.
    pub(super) fn install_python(&self, packages: &[&str]) -> anyhow::Result<()> {
        self.write("apps.py", include_str!("../origins/apps.py"))?;
        let home = self.python();
        if !home.join("bin/pip").exists() {
            let mut venv = Command::new("python3");
            venv.args(["-m", "venv"]).arg(&home);
            quietly(&mut venv, "making a Python for the servers")?;
        }
        let wanted = packages.join("\n");
        let list = home.join("installed");
        if packages.is_empty() || std::fs::read_to_string(&list).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        eprintln!("installing with pip: {}", packages.join(" "));
        let mut pip = Command::new(home.join("bin/pip"));
        pip.args(["install", "--quiet", "--disable-pip-version-check"])
            .args(packages.iter().flat_map(|package| package.split(' ')));
        quietly(&mut pip, "installing servers with pip")?;
        std::fs::write(list, wanted).context("remembering what is installed")
    }

    /// A server that `apps.py` starts itself.
    fn script(&self, name: &str, port: u16) -> Command {
        let mut python = Command::new(self.python().join("bin/python"));
        python
            .arg(self.directory.join("apps.py"))
            .args([name, &port.to_string()]);
        python
    }

    /// A server that comes with a command, and finds `apps` in its directory.
    #[expect(clippy::unnecessary_wraps, reason = "it is one of several ways that can fail")]
    fn program(&self, name: &str, words: &[&str]) -> anyhow::Result<Command> {
        let mut program = Command::new(self.python().join("bin").join(name));
        program
            .args(words)
            .current_dir(&self.directory)
            .env("PYTHONPATH", &self.directory);
        Ok(program)
    }

    /// A server with a configuration, in which `PORT` and `PLACE` are replaced.
    fn configured(
        &self,
        program: &str,
        file: &str,
        text: &str,
        port: u16,
        say: impl Fn(&mut Command, &Path),
    ) -> anyhow::Result<Command> {
        let text = text
            .replace("PORT", &port.to_string())
            .replace("PLACE", &self.directory.display().to_string());
        let file = self.write(file, &text)?;
        let mut command = Command::new(program);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places = std::ffi::OsString::from("/usr/sbin:/sbin:");
        places.push(path);
        command.env("PATH", places);
        say(&mut command, &file);
        Ok(command)
    }
}

/// A server that runs, and ends with its handle.
pub(super) struct Running {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Server {
    pub(super) fn is_there(&self) -> bool {
        match self.from {
            From::Tool(program) => has(program),
            From::Pip(_) => has("python3"),
            From::Debian(program, _) => has(program) || Path::new("/usr/sbin").join(program).exists(),
        }
    }

    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    /// It does not, within ten seconds; with where it logs.
    pub(super) fn start(&self, place: &Place) -> anyhow::Result<Running> {
        let port = free_port()?;
        let log = place
            .directory
            .join(format!("{}.log", self.name.replace([' ', '/', ','], "-")));
        let file = std::fs::File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let child = (self.command)(place, port)?
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("sharing its log")?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {}", self.name))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut running = Running { child, address };
        until_listening(&mut running.child, port)
            .with_context(|| format!("waiting for {}, which logs to {}", self.name, log.display()))?;
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // By TERM first: some have workers, which they end.
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
