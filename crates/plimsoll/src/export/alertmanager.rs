//! A configuration for Alertmanager that tells those who are told by `alerts.targets`, of the alerts of our rules for
//! Prometheus.
//!
//! Secrets stand in no file of ours, so each receiver names the file that its own is to be put into.

use std::fmt::Write as _;

use crate::config::{AlertsConfig, Target, Way};
use crate::record::entry::Calls;

const HEAD: &str = "\
# Who is told by Plimsoll, for Alertmanager. It gets the alerts of `plimsoll slo export --format prometheus`.
# Put the secrets where the files are named.
";

/// The whole of it.
pub(crate) fn configuration(alerts: &AlertsConfig) -> String {
    let mut out = HEAD.to_owned();
    // Writing to a String cannot fail, here and below.
    out.push_str("route:\n  receiver: nobody\n  group_by: [objective, severity]\n  group_wait: 10s\n  repeat_interval: 4h\n");
    // Another Alertmanager is told by Prometheus itself.
    let told = || {
        alerts
            .targets
            .iter()
            .filter(|target| !matches!(target.way, Way::Alertmanager(_)))
    };
    if told().next().is_some() {
        out.push_str("  routes:\n");
    }
    for target in told() {
        let severities: Vec<&str> = target.calls.iter().copied().map(Calls::word).collect();
        _ = writeln!(
            out,
            "    - receiver: {}\n      matchers: ['severity=~\"{}\"']\n      continue: true",
            target.name,
            severities.join("|")
        );
    }
    out.push_str("receivers:\n  - name: nobody\n");
    told().for_each(|target| receiver(&mut out, target));
    out
}

fn receiver(out: &mut String, target: &Target) {
    let name = &target.name;
    _ = writeln!(out, "  - name: {name}");
    let file = format!("/etc/alertmanager/secrets/{name}");
    match &target.way {
        Way::Slack => {
            _ = writeln!(
                out,
                "    slack_configs:\n      - api_url_file: {file}\n        send_resolved: true\n        title: '{TITLE}'\n        text: '{TEXT}'"
            );
        }
        Way::PagerDuty(_) => {
            _ = writeln!(
                out,
                "    pagerduty_configs:\n      - routing_key_file: {file}\n        send_resolved: true\n        description: '{TITLE}'"
            );
        }
        // Its body is Alertmanager's own, and is not signed.
        Way::Webhook(url) => {
            _ = writeln!(
                out,
                "    webhook_configs:\n      - url: '{}'\n        send_resolved: true",
                url.replace('\'', "''")
            );
        }
        Way::Email(mail) => {
            _ = writeln!(
                out,
                "    email_configs:\n      - to: '{}'\n        from: '{}'\n        smarthost: '{}:{}'\n        send_resolved: true",
                mail.to.join(", "),
                mail.from,
                mail.host,
                mail.port
            );
            if let Some(user) = &mail.user {
                _ = writeln!(
                    out,
                    "        auth_username: '{user}'\n        auth_password_file: {file}"
                );
            }
        }
        Way::Alertmanager(_) => {}
    }
}

const TITLE: &str = "[{{ .Status }}] {{ .CommonLabels.objective }}";
const TEXT: &str = "{{ range .Alerts }}{{ .Annotations.summary }} {{ .Annotations.runbook_url }}{{ end }}";
