//! What starts and stops versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Scope;
use crate::config::raw::driver as raw;
use crate::config::raw::upstream::Upstream;
use crate::config::read::At;
use crate::config::value::pattern::{Filling, Pattern};
use crate::config::value::{Scalar, address::Endpoint};
use crate::config::{DriverConfig, Driving, HooksConfig, ProcessConfig};

/// How long `systemctl` may take: as long as it gives a unit by itself.
const SYSTEMD_WITHIN: std::time::Duration = std::time::Duration::from_secs(100);

/// Those that there are, by the names of their upstreams.
pub(super) fn resolve(upstreams: &[Upstream], scope: &mut Scope<'_>) -> BTreeMap<Arc<str>, DriverConfig> {
    let named = |upstream: &Upstream| Some((Arc::from(upstream.name.as_str()), one(upstream, scope)?));
    upstreams.iter().filter_map(named).collect()
}

fn one(upstream: &Upstream, scope: &mut Scope<'_>) -> Option<DriverConfig> {
    let place = upstream.driver.place.clone();
    let raw::Driver {
        at,
        ports,
        process,
        systemd,
        exec,
        stop_within,
    } = upstream.driver.value.clone()?;
    if upstream.endpoints.len() > 1 {
        let wrong = "a driver starts one process for a version, and there are several endpoints";
        scope.problem(&upstream.endpoints.place, wrong, "one endpoint, or no `driver`");
    }
    check_place(&at, ports.value.is_some(), scope);
    let by_process = process.value.map(|process| resolve_process(process, scope));
    let by_systemd = systemd.value.map(resolve_systemd);
    let by_exec = exec.value.map(|exec| resolve_exec(exec, scope));
    let mut ways = [by_process, by_systemd, by_exec].into_iter().flatten();
    let (way, other) = (ways.next(), ways.next());
    if way.is_none() || other.is_some() {
        let wrong = "a driver is one of `process`, `systemd` and `exec`";
        scope.problem(&place, wrong, "exactly one of them");
    }
    Some(DriverConfig {
        at: at.value,
        ports: ports.value.map(|ports| ports.0),
        stop_within: stop_within.value,
        way: way?,
    })
}

/// Whether a place for each version comes of this.
fn check_place(at: &At<Option<Pattern>>, has_ports: bool, scope: &mut Scope<'_>) {
    let Some(pattern) = &at.value else {
        return;
    };
    let example = pattern.fill(Filling {
        upstream: "orders",
        version: "v1",
        endpoint: "",
        port: "3001",
    });
    if Endpoint::parse(&example).is_none() {
        let wrong = format!("`{example}` would be no endpoint");
        scope.problem(
            &at.place,
            wrong,
            "`http://127.0.0.1:{port}` or `unix:/run/orders/{version}.sock`",
        );
    } else if !pattern.has("{port}") && !pattern.has("{version}") {
        let wrong = "every version would be in one place";
        scope.problem(&at.place, wrong, "a place with `{port}` or `{version}` in it");
    } else if pattern.has("{port}") && !has_ports {
        let wrong = "it is not said of which ports `{port}` is one";
        scope.problem(&at.place, wrong, "`ports: 3001-3016` beside it");
    }
}

fn patterns(list: At<Vec<At<Pattern>>>) -> Vec<Pattern> {
    list.value.into_iter().map(|pattern| pattern.value).collect()
}

fn resolve_process(process: raw::Process, scope: &mut Scope<'_>) -> Driving {
    let raw::Process {
        command,
        directory,
        environment,
        pass,
    } = process;
    scope.some(&command, "program");
    Driving::Process(ProcessConfig {
        command: patterns(command),
        directory: directory.value,
        environment: environment
            .value
            .into_iter()
            .map(|variable| variable.value)
            .collect(),
        pass: pass.value.into_iter().map(|name| name.value.0).collect(),
    })
}

fn resolve_systemd(systemd: raw::Systemd) -> Driving {
    let raw::Systemd { unit, user } = systemd;
    let command = |verb: &str| {
        let mut words = vec![Pattern::fixed("systemctl")];
        words.extend(user.value.then(|| Pattern::fixed("--user")));
        words.extend([Pattern::fixed(verb), unit.value.clone()]);
        words
    };
    Driving::Hooks(HooksConfig {
        start: command("start"),
        stop: command("stop"),
        running: Some(command("is-active")),
        within: SYSTEMD_WITHIN,
        by_leader: false,
    })
}

fn resolve_exec(exec: raw::Exec, scope: &mut Scope<'_>) -> Driving {
    let raw::Exec {
        start,
        stop,
        running,
        within,
    } = exec;
    scope.some(&start, "program");
    scope.some(&stop, "program");
    Driving::Hooks(HooksConfig {
        start: patterns(start),
        stop: patterns(stop),
        running: (!running.is_empty()).then(|| patterns(running)),
        within: within.value,
        by_leader: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(driver: &str) -> Result<Config, String> {
        let text = format!(
            "listeners: [{{ name: ingress, listen: '127.0.0.1:0', routes: [{{ name: all, path: '/{{*rest}}', upstream: orders }}] }}]
upstreams: [{{ name: orders, endpoints: ['http://127.0.0.1:3001'], driver: {driver} }}]\n"
        );
        Config::read("test.yaml", text.as_bytes()).map_err(|problems| problems.to_string())
    }

    #[test]
    fn units_of_systemd_are_started_and_stopped_by_name() {
        let config =
            read("{ at: 'unix:/run/{version}.sock', systemd: { unit: 'orders@{version}.service' } }");
        let driver = config.unwrap().drivers["orders"].clone();
        let Driving::Hooks(hooks) = driver.way else {
            panic!("{driver:?}");
        };
        let spelled = |words: &[Pattern]| {
            let words: Vec<String> = words.iter().map(Scalar::render).collect();
            words.join(" ")
        };
        assert_eq!(spelled(&hooks.start), "systemctl start orders@{version}.service");
        assert_eq!(spelled(&hooks.stop), "systemctl stop orders@{version}.service");
        assert_eq!(
            spelled(&hooks.running.unwrap()),
            "systemctl is-active orders@{version}.service"
        );
        assert!(!hooks.by_leader, "each host has units of its own");
    }

    #[test]
    fn what_cannot_be_driven_is_said() {
        let process = "process: { command: [orders] }";
        for (driver, said) in [
            ("{}".to_owned(), "exactly one of them"),
            (
                format!("{{ {process}, systemd: {{ unit: orders }} }}"),
                "exactly one of them",
            ),
            ("{ process: { command: [] } }".to_owned(), "there is no program"),
            (
                format!("{{ at: 'http://127.0.0.1:3002', {process} }}"),
                "every version would be in one place",
            ),
            (
                format!("{{ at: 'http://127.0.0.1:{{port}}', {process} }}"),
                "it is not said of which ports `{port}` is one",
            ),
            (
                format!("{{ at: 'orders-{{version}}', {process} }}"),
                "`orders-v1` would be no endpoint",
            ),
            (
                format!("{{ at: 'unix:/run/{{vresion}}', {process} }}"),
                "is not a text in which only `{version}`",
            ),
            (
                "{ process: { command: [orders], environment: [MODE] } }".to_owned(),
                "a variable of an environment",
            ),
        ] {
            let problems = read(&driver).unwrap_err();
            assert!(problems.contains(said), "{driver}: {problems}");
        }
    }
}
