//! Which route a request belongs to: the host first (exact, then the longest wildcard, then any), then the most
//! specific path template, then the method.

use std::collections::{BTreeMap, HashMap};

use http::Method;

use crate::plan::RoutePlan;

/// Two routes that would take the same request, or a template that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RouteError {
    /// The same method, host and path twice.
    #[error("routes {first} and {second} both take {what}")]
    Clash {
        /// The one that stands first.
        first: String,
        /// The one that clashes with it.
        second: String,
        /// What both take.
        what: String,
    },
    /// The template cannot be read.
    #[error(
        "route {route} has the path `{path}`, {why}; right would be `/orders/{{id}}` or `/static/{{*rest}}`"
    )]
    Template {
        /// The route.
        route: String,
        /// Its path.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Finds routes. Built once per listener and plan.
#[derive(Debug)]
pub struct RouteTable {
    exact: HashMap<String, Paths>,
    /// Suffixes such as `.example.com`, longest first.
    wildcard: Vec<(String, Paths)>,
    any: Option<Paths>,
}

type Paths = matchit::Router<Methods>;

/// The routes of one template: at most one per method.
#[derive(Debug, Clone, Default)]
struct Methods {
    by_method: Vec<(Method, usize)>,
    any: Option<usize>,
}

/// What a look-up found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The route at this index of the plan.
    Route(usize),
    /// The path is known, with these methods only, as `Allow` lists them.
    MethodNotAllowed(String),
    /// Nothing.
    Unknown,
}

impl RouteTable {
    /// Builds the table.
    ///
    /// # Errors
    /// [`RouteError`] for the first clash or unreadable template.
    pub fn build(routes: &[RoutePlan]) -> Result<Self, RouteError> {
        let mut by_host: BTreeMap<&str, BTreeMap<&str, Methods>> = BTreeMap::new();
        for (index, route) in routes.iter().enumerate() {
            let hosts = if route.hosts.is_empty() {
                vec![""]
            } else {
                route.hosts.iter().map(String::as_str).collect()
            };
            for host in hosts {
                let methods = by_host.entry(host).or_default().entry(&route.path).or_default();
                methods.add(index, routes)?;
            }
        }
        let mut table = Self {
            exact: HashMap::new(),
            wildcard: Vec::new(),
            any: None,
        };
        for (host, paths) in by_host {
            let router = router(&paths, routes)?;
            match host.strip_prefix('*') {
                _ if host.is_empty() => table.any = Some(router),
                Some(suffix) => table.wildcard.push((suffix.to_ascii_lowercase(), router)),
                None => drop(table.exact.insert(host.to_ascii_lowercase(), router)),
            }
        }
        table
            .wildcard
            .sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        Ok(table)
    }

    /// Finds the route of a request. `host` may carry a port, which does not count.
    pub fn find(&self, method: &Method, host: &str, path: &str) -> Found {
        let mut refused = None;
        for paths in self.paths(host) {
            let Ok(found) = paths.at(path) else { continue };
            match found.value.find(method) {
                Some(route) => return Found::Route(route),
                None => refused = refused.or(Some(found.value.allow())),
            }
        }
        refused.map_or(Found::Unknown, Found::MethodNotAllowed)
    }

    /// The tables to look in, most specific host first.
    fn paths<'a>(&'a self, host: &str) -> impl Iterator<Item = &'a Paths> {
        let (exact, wildcard) = if self.exact.is_empty() && self.wildcard.is_empty() {
            (None, None)
        } else {
            let host = without_port(host).to_ascii_lowercase();
            let exact = self.exact.get(&host);
            let wildcard = self
                .wildcard
                .iter()
                .find(|(suffix, _)| host.ends_with(suffix.as_str()));
            (exact, wildcard.map(|(_, paths)| paths))
        };
        exact.into_iter().chain(wildcard).chain(self.any.as_ref())
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn router(paths: &BTreeMap<&str, Methods>, routes: &[RoutePlan]) -> Result<Paths, RouteError> {
    let mut router = Paths::new();
    for (path, methods) in paths {
        let route = methods
            .any_index()
            .map_or_else(String::new, |index| routes[index].name.to_string());
        let template = |why: String| RouteError::Template {
            route: route.clone(),
            path: (*path).to_owned(),
            why,
        };
        if !path.starts_with('/') {
            return Err(template("which does not begin with `/`".to_owned()));
        }
        router
            .insert(*path, methods.clone())
            .map_err(|error| match error {
                matchit::InsertError::Conflict { with } => template(format!("which clashes with `{with}`")),
                other => template(format!("which is not a template ({other})")),
            })?;
    }
    // A catch-all matches the bare directory too, unless that has a route of its own.
    for (path, methods) in paths {
        if let Some(directory) = path.rfind("{*").map(|at| &path[..at])
            && !paths.contains_key(directory)
        {
            drop(router.insert(directory, methods.clone()));
        }
    }
    Ok(router)
}

impl Methods {
    fn add(&mut self, index: usize, routes: &[RoutePlan]) -> Result<(), RouteError> {
        let route = &routes[index];
        let clash = |first: usize, what: &str| RouteError::Clash {
            first: routes[first].name.to_string(),
            second: route.name.to_string(),
            what: format!("{what} {}", route.path),
        };
        if route.methods.is_empty()
            && let Some(first) = self.any.replace(index)
        {
            return Err(clash(first, "any method of"));
        }
        for method in &route.methods {
            if let Some((_, first)) = self.by_method.iter().find(|(m, _)| m == method) {
                return Err(clash(*first, method.as_str()));
            }
            self.by_method.push((method.clone(), index));
        }
        Ok(())
    }

    fn any_index(&self) -> Option<usize> {
        self.any
            .or_else(|| self.by_method.first().map(|(_, index)| *index))
    }

    fn find(&self, method: &Method) -> Option<usize> {
        let exact = |wanted: &Method| {
            self.by_method
                .iter()
                .find(|(m, _)| m == wanted)
                .map(|(_, index)| *index)
        };
        // A route that takes GET takes HEAD (RFC 9110 §9.3.2).
        exact(method)
            .or_else(|| {
                if *method == Method::HEAD {
                    exact(&Method::GET)
                } else {
                    None
                }
            })
            .or(self.any)
    }

    fn allow(&self) -> String {
        let mut names: Vec<&str> = self.by_method.iter().map(|(method, _)| method.as_str()).collect();
        if names.contains(&"GET") && !names.contains(&"HEAD") {
            names.push("HEAD");
        }
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Plan, UpstreamPlan};

    fn route(name: &str, methods: &[Method], hosts: &[&str], path: &str) -> RoutePlan {
        let plan = Plan::in_front_of(([127, 0, 0, 1], 0).into(), UpstreamPlan::new("u", Vec::new()));
        RoutePlan {
            name: name.into(),
            methods: methods.to_vec(),
            hosts: hosts.iter().map(|&h| h.to_owned()).collect(),
            path: path.to_owned(),
            ..plan.listeners[0].routes[0].clone()
        }
    }

    #[test]
    fn the_most_specific_wins_whatever_the_order() {
        let table = RouteTable::build(&[
            route("rest", &[], &[], "/{*rest}"),
            route("order", &[Method::GET], &[], "/orders/{id}"),
            route("open", &[Method::GET], &[], "/orders/open"),
            route("tenant", &[], &["*.example.com"], "/{*rest}"),
            route("admin", &[], &["admin.example.com"], "/{*rest}"),
        ])
        .unwrap();
        assert_eq!(table.find(&Method::GET, "x", "/orders/open"), Found::Route(2));
        assert_eq!(table.find(&Method::HEAD, "x", "/orders/7"), Found::Route(1));
        assert_eq!(table.find(&Method::GET, "x", "/"), Found::Route(0));
        assert_eq!(
            table.find(&Method::GET, "a.example.com:8080", "/orders/7"),
            Found::Route(3)
        );
        assert_eq!(
            table.find(&Method::GET, "ADMIN.example.com", "/"),
            Found::Route(4)
        );
    }

    #[test]
    fn a_known_path_with_another_method_lists_what_is_allowed() {
        let table = RouteTable::build(&[route(
            "order",
            &[Method::GET, Method::DELETE],
            &[],
            "/orders/{id}",
        )])
        .unwrap();
        assert_eq!(
            table.find(&Method::PUT, "x", "/orders/7"),
            Found::MethodNotAllowed("GET, DELETE, HEAD".to_owned())
        );
        assert_eq!(table.find(&Method::PUT, "x", "/nothing"), Found::Unknown);
    }

    #[test]
    fn clashes_and_bad_templates_are_named() {
        let clash = RouteTable::build(&[
            route("a", &[Method::GET], &[], "/orders"),
            route("b", &[Method::GET, Method::PUT], &[], "/orders"),
        ]);
        assert_eq!(
            clash.unwrap_err().to_string(),
            "routes a and b both take GET /orders"
        );
        let template = RouteTable::build(&[route("a", &[], &[], "orders")]);
        assert!(
            template
                .unwrap_err()
                .to_string()
                .contains("does not begin with `/`")
        );
        let names = RouteTable::build(&[route("a", &[], &[], "/o/{id}"), route("b", &[], &[], "/o/{name}")]);
        assert!(names.unwrap_err().to_string().contains("clashes with"));
    }
}
