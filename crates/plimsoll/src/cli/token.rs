//! `plimsoll token`: a new token, and the lines of the configuration that know it.

use super::{Exit, complain, print};
use crate::access::{Digest, Role, new_token};
use crate::config;
use crate::config::value::word::Name;

/// Make a token for the port for operators: the token on standard error, the lines that know it on standard output.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Who is to have it.
    #[arg(value_parser = config::flag::<Name>)]
    name: Name,
    /// How much it may.
    #[arg(long, default_value = "viewer", value_parser = role)]
    role: Role,
    /// Until when it opens anything, such as `2027-03-01`.
    #[arg(long, value_name = "WHEN", value_parser = config::flag::<jiff::Timestamp>)]
    expires: Option<jiff::Timestamp>,
}

fn role(text: &str) -> Result<Role, String> {
    let all = [Role::Viewer, Role::Operator, Role::Admin];
    let role = all.into_iter().find(|role| role.word() == text);
    role.ok_or_else(|| "one of viewer, operator, admin".to_owned())
}

/// Makes one.
///
/// # Errors
/// The output cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let Args { name, role, expires } = args;
    let name = &name.0;
    let token = new_token();
    let digest = Digest::of(token.as_bytes());
    let expires = expires.map(|at| format!("  expires: {at}\n")).unwrap_or_default();
    let lines = format!(
        "- name: {name}\n  role: {}\n  digest: {digest}\n{expires}",
        role.word()
    );
    complain(&format!(
        "The token of {name}, which is shown once and kept nowhere; the lines below belong under `admin.tokens`:\n{token}"
    ));
    print(&lines)
}
