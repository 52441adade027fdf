//! What outlives a restart, and where that is kept.

use store::Database;

use super::{Scope, resolve_secret, tls};
use crate::config::raw::State;
use crate::config::value::word::StateFile;
use crate::config::{DatabaseConfig, StateConfig};

pub(super) fn resolve(state: State, scope: &mut Scope<'_>) -> StateConfig {
    let State {
        file,
        database,
        password_file,
        password_env,
        tls: tls_raw,
    } = state;
    let Some(address) = &database.value else {
        for (place, what) in [
            (
                password_file.is_some().then_some(&password_file.place),
                "password",
            ),
            (password_env.is_some().then_some(&password_env.place), "password"),
            (tls_raw.is_some().then_some(&tls_raw.place), "TLS"),
        ] {
            if let Some(place) = place {
                let right = "`database: postgres://…` beside it";
                scope.problem(place, format!("there is no `database` to this {what}"), right);
            }
        }
        return StateConfig::File(file.value);
    };
    if file.value != StateFile::Auto {
        let wrong = "`database` is there too, and it is kept in one place";
        scope.problem(&file.place, wrong, "one of the two");
    }
    if let Some(tls) = &tls_raw.value
        && tls.server_name.is_some()
    {
        let right = "no `server_name`: the server is called as in `database`";
        scope.problem(
            &tls.server_name.place,
            "it cannot be called something else",
            right,
        );
    }
    let right = "`postgres://plimsoll@db.example:5432/plimsoll`, and its password in `password_file` or `password_env`";
    // Nobody repeats it: there may be a password in it.
    let is_right = Database::parse(&address.0).map_err(|error| error.to_string());
    let is_right = is_right.and_then(|database| {
        let has_password = database.has_password();
        let wrong = || "there is a password in it".to_owned();
        (!has_password).then_some(database).ok_or_else(wrong)
    });
    let password = resolve_secret(password_file, password_env, "password", scope);
    let tls = tls::outbound(tls_raw.value, scope);
    match is_right {
        Ok(database) => {
            let config = DatabaseConfig {
                database,
                password,
                tls,
            };
            StateConfig::Database(config.into())
        }
        Err(wrong) => {
            scope.problem(&database.place, wrong, right);
            StateConfig::File(StateFile::Off)
        }
    }
}
