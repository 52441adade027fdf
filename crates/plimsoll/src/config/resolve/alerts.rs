//! Who is told of alerts: what belongs to which kind of target.

use super::{Scope, resolve_secret, tls};
use crate::config::raw::alerts::{AlertTarget, Alerts, CallsWord, Email, Heartbeat, Security, TargetKind};
use crate::config::read::At;
use crate::config::secrets::TokenSource;
use crate::config::value::outside::Link;
use crate::config::{AlertsConfig, Beat, EmailConfig, MailSecurity, Target, Way};
use crate::record::entry::Calls;

pub(super) fn resolve(alerts: Alerts, scope: &mut Scope<'_>) -> AlertsConfig {
    let Alerts {
        address,
        labels,
        targets,
        heartbeat,
    } = alerts;
    scope.unique("target", targets.iter().map(|target| &target.name));
    AlertsConfig {
        address: address.value.map(|link| link.0.trim_end_matches('/').to_owned()),
        labels: labels.value.into_iter().map(|label| label.value.0).collect(),
        targets: targets
            .value
            .into_iter()
            .filter_map(|target| resolve_target(target, scope))
            .collect(),
        heartbeat: heartbeat.value.and_then(|heartbeat| {
            let place = heartbeat.url.place.clone();
            let resolved = resolve_heartbeat(heartbeat, scope);
            if resolved.is_none() {
                scope.problem(&place, "nobody is told", "`url`, `url_file` or `url_env`");
            }
            resolved
        }),
    }
}

fn resolve_target(target: AlertTarget, scope: &mut Scope<'_>) -> Option<Target> {
    let AlertTarget {
        name,
        kind,
        calls,
        url,
        secret_file,
        secret_env,
        email,
        tls: tls_raw,
    } = target;
    let secret = resolve_secret(secret_file, secret_env, "secret", scope);
    let needs_secret = matches!(
        kind.value,
        TargetKind::Slack | TargetKind::PagerDuty | TargetKind::Webhook
    );
    if needs_secret && secret.is_none() {
        scope.problem(
            &kind.place,
            "it needs a secret",
            "`secret_file` or `secret_env` beside it",
        );
    }
    let calls = calls.value.into_iter().map(|call| match call.value {
        CallsWord::Page => Calls::Page,
        CallsWord::Ticket => Calls::Ticket,
    });
    Some(Target {
        name: name.value.0.into(),
        calls: calls.collect(),
        way: resolve_way(kind.value, url, email, secret.is_some(), scope)?,
        secret,
        tls: tls::outbound(tls_raw.value, scope),
    })
}

fn resolve_way(
    kind: TargetKind,
    url: At<Option<Link>>,
    email: At<Option<Email>>,
    has_secret: bool,
    scope: &mut Scope<'_>,
) -> Option<Way> {
    if kind != TargetKind::Email && email.is_some() {
        scope.problem(
            &email.place,
            "only a target of kind `email` sends mail",
            "none of it here",
        );
    }
    if matches!(kind, TargetKind::Slack | TargetKind::Email) && url.is_some() {
        let right = "a Slack webhook's address is its secret, a mail server's is in `email`";
        scope.problem(&url.place, "this kind has its address elsewhere", right);
    }
    let address = url.value.map(|link| link.0.trim_end_matches('/').to_owned());
    if matches!(kind, TargetKind::Alertmanager | TargetKind::Webhook) && address.is_none() {
        scope.problem(&url.place, "its address is missing", "`url: https://…`");
    }
    Some(match kind {
        TargetKind::Alertmanager => Way::Alertmanager(address?),
        TargetKind::Webhook => Way::Webhook(address?),
        TargetKind::Slack => Way::Slack,
        TargetKind::PagerDuty => Way::PagerDuty(address),
        TargetKind::Email => {
            let place = email.place;
            let Some(email) = email.value else {
                let right = "`email: { server: …, from: …, to: […] }`";
                scope.problem(&place, "how mail goes out is missing", right);
                return None;
            };
            Way::Email(resolve_email(email, has_secret, scope))
        }
    })
}

fn resolve_email(email: Email, has_password: bool, scope: &mut Scope<'_>) -> EmailConfig {
    let Email {
        server,
        security,
        from,
        to,
        user,
    } = email;
    scope.some(&to, "recipient");
    if user.is_some() != has_password {
        scope.problem(&user.place, "a user and a secret go together", "both or neither");
    }
    if user.is_some() && security.value == Security::Off {
        scope.problem(
            &security.place,
            "the password would go out in clear",
            "`starttls` or `tls`",
        );
    }
    EmailConfig {
        host: server.value.host,
        port: server.value.port,
        security: match security.value {
            Security::Starttls => MailSecurity::Starttls,
            Security::Tls => MailSecurity::Tls,
            Security::Off => MailSecurity::Off,
        },
        from: from.value.0,
        to: to.value.into_iter().map(|to| to.value.0).collect(),
        user: user.value,
    }
}

fn resolve_heartbeat(heartbeat: Heartbeat, scope: &mut Scope<'_>) -> Option<Beat> {
    let Heartbeat {
        url,
        url_file,
        url_env,
        every,
    } = heartbeat;
    if let Some(path) = &url_file.value {
        scope.readable(path, &url_file.place);
    }
    let secret = url_file.value.map(TokenSource::File);
    let secret = secret.or_else(|| url_env.value.map(|name| TokenSource::Environment(name.0)));
    if url.value.is_some() && secret.is_some() {
        scope.problem(&url.place, "its address is elsewhere, too", "one of the two");
    }
    Some(Beat {
        address: match (url.value, secret) {
            (Some(link), _) => Ok(link.0),
            (None, Some(secret)) => Err(secret),
            (None, None) => return None,
        },
        every: every.value,
    })
}
