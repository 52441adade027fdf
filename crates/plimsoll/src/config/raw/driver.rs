//! Drivers: what starts and stops the versions of an upstream.

use std::time::Duration;

use crate::config::read::At;
use crate::config::stanza::stanza;
use crate::config::value::pattern::{Pattern, PortRange, Variable};
use crate::config::value::word::EnvName;

stanza! {
    /// What starts and stops the versions of an upstream, so that a version is all that a deploy has to name. One of `process`, `systemd` and `exec`. In their words `{version}`, `{upstream}`, `{endpoint}` and `{port}` stand for what is started.
    Driver {
        /// Where a version is found: an endpoint with `{version}` or `{port}` in it, such as `http://127.0.0.1:{port}`. Without it, a deploy has to say.
        at: Option<Pattern> = "null";
        /// Of which ports `{port}` is one: kept free for this, on every host.
        ports: Option<PortRange> = "null";
        /// Plimsoll starts the versions itself, as its children, and starts one again that ends by itself.
        process: Option<Process> = "null";
        /// Units of systemd.
        systemd: Option<Systemd> = "null";
        /// Programs of yours.
        exec: Option<Exec> = "null";
        /// How long a version may take to end, after nothing is sent to it any more. Then it is killed.
        stop_within: Duration = "30s", from "0s" to "1h";
    }
}

stanza! {
    /// A version as a child of Plimsoll. It has a process group of its own, writes to the standard error of Plimsoll, and lives on when Plimsoll is upgraded or killed: whoever comes next finds it.
    Process {
        /// The program and its words. `PORT` and `PLIMSOLL_VERSION` are in its environment.
        command: Vec<At<Pattern>>;
        /// Where it is started.
        directory: Option<Pattern> = "null";
        /// Variables of its environment: `NAME=value`.
        environment: Vec<At<Variable>> = "[]";
        /// Variables that it gets of the environment of Plimsoll, beside `PATH`, `HOME`, `USER`, `LANG`, `TZ` and `TMPDIR`.
        pass: Vec<At<EnvName>> = "[]";
    }
}

stanza! {
    /// Units of systemd, one for each version: `systemctl start` and `systemctl stop`, on every host that runs Plimsoll.
    Systemd {
        /// The unit of a version, such as `orders@{version}.service`.
        unit: Pattern;
        /// The units of the user whom Plimsoll runs as.
        user: bool = "false";
    }
}

stanza! {
    /// Programs that start and stop a version. Each may be called again for what is done already, and has failed if it does not exit with 0. Of gateways that share a database, the one that leads calls them.
    Exec {
        /// Starts a version.
        start: Vec<At<Pattern>>;
        /// Stops it.
        stop: Vec<At<Pattern>>;
        /// Exits with 0 if it runs. Without it, a version is stopped by whoever has seen the end of its change, and of several starts of Plimsoll each starts it again.
        running: Vec<At<Pattern>> = "[]";
        /// How long each may take.
        within: Duration = "2m", from "100ms" to "1h";
    }
}
