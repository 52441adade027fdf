//! The port for operators, and who may use it.

use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::Timestamp;

use super::listener::TlsServer;
use crate::access::Digest;
use crate::config::read::At;
use crate::config::stanza::{stanza, words};
use crate::config::value::word::{EnvName, Name};

stanza! {
    /// The port for operators.
    Admin {
        /// Where it listens. Any address but a loopback one needs a token.
        listen: SocketAddr = "127.0.0.1:9900";
        /// File with a token that may everything; spaces around it are dropped.
        token_file: Option<PathBuf> = "null";
        /// Environment variable with that token.
        token_env: Option<EnvName> = "null";
        /// Tokens by name, each with what it may. `plimsoll token` makes one.
        tokens: Vec<At<AdminToken>> = "[]";
        /// Terminate TLS here. Without it, cleartext.
        tls: Option<TlsServer> = "null";
    }
}

stanza! {
    /// Somebody who may use the port for operators. How the token is known: one of `digest`, `file` and `env`.
    AdminToken {
        /// Who has it: the author of what is done with it.
        name: Name;
        /// How much it may.
        role: AdminRole;
        /// Its SHA-256.
        digest: Option<Digest> = "null";
        /// File with the token; spaces around it are dropped.
        file: Option<PathBuf> = "null";
        /// Environment variable with the token.
        env: Option<EnvName> = "null";
        /// It opens nothing from then on.
        expires: Option<Timestamp> = "null";
    }
}

words! {
    /// How much a token may; each may what those before it may.
    AdminRole {
        /// Read everything.
        Viewer = "viewer",
        /// Work on incidents, silence alerts, reload the configuration, drain.
        Operator = "operator",
        /// Correct what was counted, replace the program.
        Admin = "admin",
    }
}
