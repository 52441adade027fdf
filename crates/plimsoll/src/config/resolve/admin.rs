//! The port for operators, and who may use it.

use std::path::PathBuf;
use std::time::Duration;

use super::{Scope, tls};
use crate::access::{Kept, Key, Role};
use crate::config::AdminConfig;
use crate::config::raw::admin::{Admin, AdminRole, AdminToken};
use crate::config::read::At;
use crate::config::secrets::TokenSource;
use crate::config::value::word::EnvName;

/// The one token that stands beside the address has this name.
const ALONE: &str = "admin";

pub(super) fn resolve(admin: Admin, scope: &mut Scope<'_>) -> AdminConfig {
    let Admin {
        listen,
        token_file,
        token_env,
        tokens,
        tls: tls_raw,
    } = admin;
    let both = (token_file.is_some() && token_env.is_some()).then_some(&token_env.place);
    if let Some(place) = both {
        scope.problem(place, "`token_file` is there too", "one of the two");
    }
    let alone = source(token_file, token_env, scope).map(|source| Key {
        name: ALONE.into(),
        role: Role::Admin,
        kept: Kept::Source(source),
        expires: None,
    });
    scope.unique("token", tokens.value.iter().map(|token| &token.value.name));
    if alone.is_some()
        && let Some(token) = tokens.value.iter().find(|token| token.name.0 == ALONE)
    {
        let wrong = format!("the token beside `listen` is called `{ALONE}`");
        scope.problem(&token.name.place, wrong, "another name");
    }
    let named = tokens.value.into_iter().filter_map(|token| key(token, scope));
    let named: Vec<Key> = named.collect();
    let keys: Vec<Key> = alone.into_iter().chain(named).collect();
    if !listen.ip().to_canonical().is_loopback() && keys.is_empty() {
        let wrong = format!(
            "`{}` can be reached from outside, and nobody has to show a token",
            listen.value
        );
        scope.problem(
            &listen.place,
            wrong,
            "a loopback address, or a `token_file`, `token_env` or `tokens` beside it",
        );
    }
    AdminConfig {
        listen: listen.value,
        keys: keys.into(),
        tls: tls_raw.value.map(|raw| tls::server(raw, scope)),
    }
}

fn key(token: At<AdminToken>, scope: &mut Scope<'_>) -> Option<Key> {
    let AdminToken {
        name,
        role,
        digest,
        file,
        env,
        expires,
    } = token.value;
    let ways = [digest.is_some(), file.is_some(), env.is_some()];
    if ways.iter().filter(|is_there| **is_there).count() != 1 {
        let wrong = format!(
            "nothing says how the token of `{}` is known, or several do",
            name.0
        );
        scope.problem(&token.place, wrong, "one of `digest`, `file` and `env`");
        return None;
    }
    let source = source(file, env, scope);
    let kept = source.map(Kept::Source).or(digest.value.map(Kept::Digest))?;
    Some(Key {
        name: name.value.0.into(),
        role: match role.value {
            AdminRole::Viewer => Role::Viewer,
            AdminRole::Operator => Role::Operator,
            AdminRole::Admin => Role::Admin,
        },
        kept,
        expires: expires
            .value
            .map(|at| Duration::from_millis(at.as_millisecond().try_into().unwrap_or(0))),
    })
}

pub(super) fn source(
    file: At<Option<PathBuf>>,
    env: At<Option<EnvName>>,
    scope: &mut Scope<'_>,
) -> Option<TokenSource> {
    if let Some(path) = &file.value {
        scope.readable(path, &file.place);
    }
    let from_file = file.value.map(TokenSource::File);
    from_file.or_else(|| env.value.map(|name| TokenSource::Environment(name.0)))
}
