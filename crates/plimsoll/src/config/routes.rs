//! Whether two routes of a listener would take the same request.

use super::problem::Problem;
use super::raw::route::Route;
use super::read::At;
use super::value::word::PathTemplate;
use http::Method;
use std::collections::BTreeMap;

/// Reports every route that clashes with one before it.
pub(super) fn clashes(routes: &[At<Route>], problems: &mut Vec<Problem>) {
    // By host and skeleton, so that ten thousand routes are not compared with each other.
    let mut seen: BTreeMap<(&str, String), Vec<&Route>> = BTreeMap::new();
    for route in routes {
        let hosts = if route.hosts.is_empty() {
            vec![""]
        } else {
            route.hosts.iter().map(|h| h.0.as_str()).collect()
        };
        let mut reported = false;
        for host in hosts {
            let rivals = seen.entry((host, route.path.skeleton())).or_default();
            match rivals.iter().find(|rival| clash(rival, route)) {
                // The one that stands first has its way, and is what later ones are compared with.
                Some(rival) if !reported => {
                    problems.push(problem(rival, route));
                    reported = true;
                }
                Some(_) => {}
                None => rivals.push(route),
            }
        }
    }
}

fn clash(first: &Route, second: &Route) -> bool {
    let (PathTemplate(one), PathTemplate(other)) = (&first.path.value, &second.path.value);
    one != other || same_methods(&first.methods, &second.methods).is_some()
}

/// A method that both take. A route for any method gives way to one that lists its own.
fn same_methods(first: &[Method], second: &[Method]) -> Option<String> {
    if first.is_empty() && second.is_empty() {
        return Some("any method".to_owned());
    }
    first
        .iter()
        .find(|method| second.contains(method))
        .map(ToString::to_string)
}

fn problem(first: &Route, second: &Route) -> Problem {
    let (name, mark) = (first.name.as_str(), first.path.place.mark);
    let (one, other) = (&first.path.value.0, &second.path.value.0);
    if one == other {
        let method = same_methods(&first.methods, &second.methods).unwrap_or_default();
        let wrong = format!("the route `{name}` at {mark} takes {method} of `{one}` too");
        Problem::new(&second.path.place, wrong, "another path, method or host")
    } else {
        let wrong = format!("this is the path `{one}` of the route `{name}` at {mark}, in other words");
        Problem::new(
            &second.path.place,
            wrong,
            format!("the same names for the same parameters, `{one}`"),
        )
    }
}
